"""The parts of a packed matrix: each there, of the kind and shape that it should have.

A file says how it is laid out in several places, which may contradict one another. Here
each is held against the others by names and headers alone, before anything is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from ...checkpoint import CheckpointError, Weights
from ...checkpoint.errors import quoted
from ...checkpoint.stored import StoredTensor, Tensor
from ..packed import Packed

LARGEST_SIDE = 1 << 24
AGAIN = "the file is damaged, or only a part of it was saved: download it again"


class Parts:
    """The tensors of one packed matrix `name`, as they lie in the file."""

    def __init__(self, weights: Weights, name: str, program: str):
        self.weights, self.name, self.program = weights, name, program
        self.used: set[str] = set()

    def take(self, part: str, kinds: Iterable[str], shape=None) -> StoredTensor:
        """The tensor called `part`, of one of the kinds ("F32", "U8"), of a shape."""
        tensor = self.weights.tensor(part) if part in self.weights else None
        if not isinstance(tensor, StoredTensor):
            raise self.error(f"{quoted(part)} is missing: {AGAIN}")
        if tensor.kind not in kinds:
            raise self.error(
                f"{quoted(part)} has the dtype {tensor.kind}, not "
                f"{' or '.join(kinds)}: {AGAIN}"
            )
        if shape is not None and tensor.shape != tuple(shape):
            raise self.error(
                f"{quoted(part)} is {tensor.shape} and should be {tuple(shape)}, by "
                f"what is said of the matrix: {AGAIN}"
            )
        self.used.add(part)
        return tensor.natural()

    def error(self, problem: str) -> CheckpointError:
        """One sentence that names the file and the matrix."""
        return CheckpointError(
            f"{self.weights.origin}: tensor {quoted(self.name)}, quantised by "
            f"{self.program}: {problem}"
        )


def replaced(
    weights: Weights, matrices: Mapping[str, Packed], parts: Iterable[str]
) -> Weights:
    """The weights without the parts, and with the matrices that were made of them."""
    gone = set(parts)
    tensors: dict[str, Tensor] = {
        name: matrices.get(name, weights.tensor(name))
        for name in weights
        if name in matrices or name not in gone
    }
    missing = matrices.keys() - tensors.keys()
    return Weights.of_tensors(
        {**tensors, **{name: matrices[name] for name in missing}}, weights.origin
    )


class Turned(Packed):
    """The transpose of a packed matrix: GPT-2's, which lie the other way round."""

    def __init__(self, packed: Packed):
        super().__init__(packed.shape[::-1], packed.dtype)
        self.packed, self.parts = packed, packed.parts

    def numbers(self) -> np.ndarray:
        return self.packed.array().T
