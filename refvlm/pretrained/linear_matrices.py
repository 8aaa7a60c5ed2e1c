"""The matrices of linear layers in a checkpoint: those that are quantised.

Which they are is decided as transformers decides it with bitsandbytes: every linear
layer but the output head. Embeddings are tables of which rows are looked up, norms and
biases are no matrices, and a convolution has four axes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..checkpoint import CheckpointError, Weights
from ..checkpoint.errors import quoted
from ..checkpoint.stored import StoredTensor
from ..ops.rounding import bfloat16_bits
from ..quantize import FourBit, GroupWise, Half, Packed, formats, quantization_error
from ..quantize.schemes import pack_groups
from ..quantize.widths import assign_widths

Pack = Callable[[np.ndarray], Packed]
Progress = Callable[[str], None]

# Last words of modules whose matrices stay.
TABLES = "embed_tokens", "wte", "wpe", "token_embedding", "position_embedding"
HEADS = "lm_head", "text_projection"

WIDTHS = (2, 3, 4, 6, 8)  # of which each matrix has one, where they are mixed
USUAL = 4  # bits, whose bytes are the budget where none is given


class Linear(NamedTuple):
    """A matrix as it lies in its file; `turned`, where that is (in, out)."""

    name: str
    tensor: StoredTensor
    turned: bool

    @property
    def columns(self) -> int:
        """How many numbers go into a layer of it."""
        return self.tensor.shape[0 if self.turned else 1]

    def numbers(self) -> np.ndarray:
        """The matrix, (out, in), in float16 or float32."""
        array = self.tensor.natural().array()
        if array.dtype == np.float64:
            array = array.astype(np.float32)
        return np.ascontiguousarray(array.T) if self.turned else array

    def packed(self, numbers: np.ndarray, pack: Pack) -> tuple[Packed, float]:
        """The numbers in few bits, scaled in the precision that the file has, and their
        signal over their error in decibels."""
        try:
            matrix = pack(numbers)
            matrix = in_bfloat16(matrix) if self.tensor.kind == "BF16" else matrix
            return matrix, quantization_error(numbers, matrix.array()).sqnr
        except ValueError as problem:
            raise CheckpointError(
                f"{self.tensor.path}: tensor {quoted(self.name)} cannot be packed: "
                f"{problem}"
            ) from None


def linear_matrices(weights: Weights, document: Mapping[str, Any]) -> list[Linear]:
    """Those of a checkpoint, whose config.json says `document`."""
    turned = formats.is_turned(document)
    tensors = {name: weights.tensor(name) for name in weights}
    return [
        Linear(name, tensor, turned(name))
        for name, tensor in tensors.items()
        if isinstance(tensor, StoredTensor)
        and tensor.is_floating
        and is_linear(name, tensor.shape)
    ]


def is_linear(name: str, shape: tuple[int, ...]) -> bool:
    """Whether a tensor is the matrix of a linear layer that is no head.

    Source: [MicroVLM-V] 8. Oracle: transformers with BitsAndBytesConfig.

    >>> is_linear("model.layers.0.mlp.up_proj.weight", (4864, 896))
    True
    >>> is_linear("model.embed_tokens.weight", (151936, 896))
    False
    """
    *module, kind = name.split(".")
    return kind == "weight" and len(shape) == 2 and not {*module} & {*TABLES, *HEADS}


def in_bfloat16(matrix: Packed) -> Packed:
    """The same codes of a matrix that was bfloat16, as which it comes back."""
    if isinstance(matrix, FourBit):
        matrix.stored = "bfloat16"
    if isinstance(matrix, GroupWise):
        return GroupWise(
            matrix.shape,
            matrix.dtype,
            group_size=matrix.group_size,
            bits=matrix.bits,
            stored="bfloat16",
            codes=matrix["codes"],
            scales=Half(bfloat16_bits(matrix["scales"])),
            biases=Half(bfloat16_bits(matrix["biases"])),
        )
    return matrix


def mixed_widths(
    matrices: list[Linear], budget: float | None, progress: Progress
) -> dict[str, int]:
    r"""name -> bits, such that all matrices together take at most `budget` bits a
    weight, scales included, and $\sum_\ell \|W_\ell - \hat W_\ell\|^2 /
    \|W_\ell\|^2$ is least.

    Noise over signal is what a layer adds to what goes through it, be it large or
    small: so a small matrix is worth more bits for each of its weights. What the model
    makes of it is not asked. A budget of None are the bytes of four bits each.
    """
    costs, sizes, counts = [], [], []
    for matrix in matrices:
        progress(matrix.name)
        numbers = matrix.numbers()
        row = [_cost(matrix, numbers, bits) for bits in WIDTHS]
        costs.append([cost for cost, _ in row])
        sizes.append([size for _, size in row])
        counts.append(numbers.size)
    least, most = (sum(f(row) for row in sizes) for f in (min, max))
    allowed = sum(row[WIDTHS.index(USUAL)] for row in sizes)
    if budget is not None:
        allowed = int(budget * sum(counts) / 8)
    if allowed < least:
        raise ValueError(
            f"quantize: budget is {budget} bits a weight, scales included, but these "
            f"matrices take {8 * least / sum(counts):.2f} to "
            f"{8 * most / sum(counts):.2f}"
        )
    chosen = assign_widths(costs, sizes, min(allowed, most)).choices
    return {m.name: WIDTHS[choice] for m, choice in zip(matrices, chosen)}


def _cost(matrix, numbers, bits):
    """(noise over signal, bytes) of a width."""
    packed, sqnr = matrix.packed(numbers, lambda array: pack_groups(array, bits))
    return 10 ** (-sqnr / 10), packed.nbytes
