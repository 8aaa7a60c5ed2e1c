"""The way back: what a file and its config.json say of packed matrices."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np

from ...checkpoint import Raw
from ...checkpoint.stored import HeldTensor
from ..matrices import FourBit, GroupWise, Ternary
from ..packed import Packed
from . import bitsandbytes, mlx, own

LAYOUTS: dict[type[Packed], Any] = {
    FourBit: bitsandbytes,
    GroupWise: mlx,
    Ternary: own,
}


def tensors(name: str, matrix: Packed) -> dict[str, np.ndarray | Raw]:
    """What a file holds of a matrix, by name, in the layout of its kind."""
    return LAYOUTS[type(matrix)].tensors(name, matrix)


def configuration(matrices: Mapping[str, Packed], kept: list[str]) -> dict[str, Any]:
    """What config.json says of all of them, which are of one kind; `kept` are the
    modules of matrices that stay as they are."""
    kind = type(next(iter(matrices.values())))
    return LAYOUTS[kind].configuration(matrices, kept)


def outline(matrix: Packed) -> Packed:
    """The matrix without its numbers, which is enough for config.json."""
    bare = copy.copy(matrix)
    bare.parts = dict.fromkeys(matrix.parts, HeldTensor(np.zeros(0)))
    return bare
