"""Three values a weight: a layout of our own, since no other program has one for it.

A matrix `X.weight` of -s, 0 and s has

    X.weight          U8 (numbers / 5,)    five of three values a byte
    X.weight.scale    F32 ()               s
    X.weight.shape    I64 (2,)             rows and columns

and config.json says {"quant_method": "refvlm", "scheme": "ternary"} under
quantization_config.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...checkpoint import CheckpointError, Weights
from ...checkpoint.errors import listed, quoted
from ...checkpoint.stored import StoredTensor
from ...kernels.bit_streams import TRITS
from ..matrices import Ternary
from .parts import AGAIN, LARGEST_SIDE, Parts, replaced

METHOD, SCHEME = "refvlm", "ternary"
SCALE, SHAPE = ".scale", ".shape"


def read(weights: Weights, said: Mapping[str, Any], source: str, dtype) -> Weights:
    """The same weights with a `Ternary` for each quantised matrix, in `dtype`.

    `said` is what config.json, called `source`, says under quantization_config.
    """
    if said.get("scheme") != SCHEME:
        raise CheckpointError(
            f"{source}: quantization_config names {METHOD} and the scheme "
            f"{quoted(said.get('scheme'), 60)}, of which only {SCHEME!r} is known: "
            "download the file again"
        )
    end = f".weight{SCALE}"
    names = [n.removesuffix(SCALE) for n in weights if n.endswith(end)]
    if not names:
        raise CheckpointError(
            f"{source}: quantization_config says three values a weight, but no tensor "
            f"of {weights.origin} has a scale: take quantization_config out of the "
            "file if these are the weights before, else copy both again"
        )
    matrices, used = {}, set()
    for name in names:
        parts = Parts(weights, name, METHOD)
        matrices[name] = _matrix(parts, dtype)
        used |= parts.used
    lost = [
        quoted(n) for n in weights if n.endswith(f".weight{SHAPE}") and n not in used
    ]
    if lost:
        raise CheckpointError(
            f"{weights.origin}: {listed(lost)}: parts of ternary matrices, without "
            f"their scale: {AGAIN}"
        )
    return replaced(weights, matrices, used)


def _matrix(parts: Parts, dtype) -> Ternary:
    """One matrix, once its three tensors agree."""
    name = parts.name
    sides = parts.take(f"{name}{SHAPE}", ["I64"], (2,)).array().tolist()
    if not all(1 <= side <= LARGEST_SIDE for side in sides):
        raise parts.error(f"its shape is said to be {sides}: {AGAIN}")
    rows, columns = sides
    codes = parts.take(name, ["U8"], (-(-rows * columns // TRITS),))
    scale = parts.take(f"{name}{SCALE}", ["F32"], ())
    return Ternary((rows, columns), dtype, codes=Trits.of(codes), scale=scale)


class Trits(StoredTensor):
    """Bytes of five values each, of which 243 to 255 are none: checked when read."""

    __slots__ = ()

    def array(self):
        codes = super().array()
        if codes.max(initial=0) >= 3**TRITS:
            raise CheckpointError(
                f"{self.path}: tensor {quoted(self.name)} holds a byte of "
                f"{codes.max()}, but five values of three make 0 to {3**TRITS - 1}: "
                f"{AGAIN}"
            )
        return codes


def tensors(name: str, matrix: Ternary) -> dict[str, np.ndarray]:
    """What a file holds of a matrix, by name."""
    return {
        name: matrix["codes"],
        f"{name}{SCALE}": matrix["scale"].astype(np.float32),
        f"{name}{SHAPE}": np.array(matrix.shape, np.int64),
    }


def configuration(matrices: Mapping[str, Ternary], kept: list[str]) -> dict[str, Any]:
    """What config.json says of them."""
    return {"quantization_config": {"quant_method": METHOD, "scheme": SCHEME}}
