"""Groups of a row on a grid of their own, as MLX stores them and mlx-lm saves them.

A module `X` of b bits in groups of 64 has

    X.weight    U32 (rows, columns b / 32)    a stream of b bits a number, lowest first
    X.scales    F16, BF16 or F32 (rows, columns / 64)
    X.biases    likewise: where a group begins; X.bias is the layer's own, and stays

and config.json says {"group_size": 64, "bits": 4} under quantization, newer ones under
quantization_config too, with modules that have numbers of their own among the keys. A
module without scales is not quantised; embeddings and heads are like any other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ...arguments import is_whole
from ...checkpoint import CheckpointError, Raw, Weights
from ...checkpoint.errors import listed, quoted
from ...ops.rounding import bfloat16_bits
from ..demands.groups import BITS, GROUP_SIZES
from ..matrices import GroupWise
from .parts import AGAIN, Parts, replaced

WORD = 32
SCALES = ("F16", "BF16", "F32")


class Grouping(NamedTuple):
    """How many numbers share a scale, and how many bits each has."""

    group_size: int
    bits: int


def read(weights: Weights, said: Mapping[str, Any], source: str, dtype) -> Weights:
    """The same weights with a `GroupWise` for each quantised module, in `dtype`.

    `said` is what config.json, called `source`, says under quantization.
    """
    usual = _grouping(said, source, "quantization")
    matrices, used = {}, set()
    for scales in [name for name in weights if name.endswith(".scales")]:
        module = scales.removesuffix(".scales")
        own = said.get(module)
        grouping = usual
        if own is False:
            raise CheckpointError(
                f"{source}: quantization says that {quoted(module)} is not quantised, "
                f"but {weights.origin} holds {quoted(scales)}: download both again"
            )
        if own is not None and own is not True:
            grouping = _grouping(own, source, f"quantization of {quoted(module)}")
        parts = Parts(weights, f"{module}.weight", "MLX")
        matrices[parts.name] = _matrix(parts, module, grouping, dtype)
        used |= parts.used
    if not matrices:
        raise CheckpointError(
            f"{source}: quantization says {usual.bits} bits of MLX, but no tensor of "
            f"{weights.origin} has scales: take quantization and quantization_config "
            "out of the file if these are the weights before, else download both again"
        )
    lost = [quoted(n) for n in weights if n.endswith(".biases") and n not in used]
    if lost:
        raise CheckpointError(
            f"{weights.origin}: {listed(lost)}: parts of matrices that MLX quantised, "
            f"without the scales beside them: {AGAIN}"
        )
    return replaced(weights, matrices, used)


def _grouping(settings, source, what) -> Grouping:
    """group_size and bits, each one that MLX has."""
    if not isinstance(settings, Mapping):
        raise CheckpointError(
            f"{source}: {what} is {quoted(settings)}, not an object of group_size and "
            "bits: download the file again"
        )
    mode = settings.get("mode", "affine")
    if mode != "affine":
        raise CheckpointError(
            f"{source}: {what} says mode {quoted(mode)}, but of MLX's only 'affine' is "
            "read here: take the float checkpoint of the same model and convert it "
            "with q_mode 'affine', or by `python -m refvlm quantize DIR --scheme int4`"
        )
    for name, allowed in (("group_size", GROUP_SIZES), ("bits", BITS)):
        value = settings.get(name)
        if not is_whole(value) or value not in allowed:
            raise CheckpointError(
                f"{source}: {what} says {name} {quoted(value)}, but MLX has "
                f"{', '.join(map(str, allowed))}: download the file again"
            )
    return Grouping(settings["group_size"], settings["bits"])


def _matrix(parts: Parts, module, grouping, dtype) -> GroupWise:
    """One matrix, once its three tensors agree."""
    group_size, bits = grouping
    packed = parts.take(parts.name, ["U32"])
    scales = parts.take(f"{module}.scales", SCALES)
    if len(packed.shape) != 2 or 0 in packed.shape:
        raise parts.error(
            f"it is {packed.shape}, not a matrix of packed words: {AGAIN}"
        )
    rows, words = packed.shape
    columns = words * WORD // bits
    if columns * bits != words * WORD or (
        columns % group_size or scales.shape != (rows, columns // group_size)
    ):
        raise parts.error(
            f"{words} words a row are {words * WORD / bits:g} numbers of {bits} bits, "
            f"for which scales of {scales.shape} in groups of {group_size} are not: "
            "config.json says another group_size or bits than the file was made with"
        )
    biases = parts.take(f"{module}.biases", [scales.kind], scales.shape)
    return GroupWise(
        (rows, columns),
        dtype,
        group_size=group_size,
        bits=bits,
        stored="bfloat16" if scales.kind == "BF16" else None,
        codes=packed,
        scales=scales,
        biases=biases,
    )


def tensors(name: str, matrix: GroupWise) -> dict[str, np.ndarray | Raw]:
    """What a file holds of a matrix, by name."""
    module = name.removesuffix(".weight")
    found: dict[str, np.ndarray | Raw] = {name: matrix["codes"]}
    for part in ("scales", "biases"):
        found[f"{module}.{part}"] = (
            Raw("BF16", bfloat16_bits(matrix[part]))
            if matrix.stored == "bfloat16"
            else matrix[part]
        )
    return found


def configuration(matrices: Mapping[str, GroupWise], kept: list[str]) -> dict[str, Any]:
    """What config.json says of them: the usual grouping, and who has another."""
    groupings = {
        name.removesuffix(".weight"): Grouping(matrix.group_size, matrix.bits)
        for name, matrix in matrices.items()
    }
    usual = Counter(groupings.values()).most_common(1)[0][0]
    said = {
        **usual._asdict(),
        "mode": "affine",
        **{n: own._asdict() for n, own in groupings.items() if own != usual},
    }
    return {"quantization": said, "quantization_config": said}
