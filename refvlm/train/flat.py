"""All parameters as one vector, so that an optimiser is a few operations on one array.

A model has hundreds of small arrays, and each NumPy call costs about a microsecond
before it does anything. Laid end to end, those of one group side by side, they are a
few long slices. The slices are cut again to a length that stays in the cache.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

CHUNK = 32768  # numbers; half a dozen float32 arrays of it fit the second-level cache


@dataclass(frozen=True)
class Layout:
    """Where each parameter lies: names in the order of their groups, then alphabetical,
    so that the order in which a mapping was filled does not matter."""

    shapes: dict[str, tuple[int, ...]]
    places: dict[str, slice]
    groups: dict[Any, slice]
    dtype: np.dtype

    @classmethod
    def of(
        cls, parameters: Mapping[str, np.ndarray], group: Callable[[str, Any], Any]
    ) -> Layout:
        """The layout of these parameters, grouped by a function of name and array."""
        dtypes = {array.dtype for array in parameters.values()}
        if len(dtypes) != 1 or next(iter(dtypes)).kind != "f":
            kinds = ", ".join(sorted(map(str, dtypes))) or "nothing"
            raise ValueError(f"parameters are floats of one dtype, but here is {kinds}")
        belongs = {name: group(name, array) for name, array in parameters.items()}
        shapes: dict[str, tuple[int, ...]] = {}
        places: dict[str, slice] = {}
        groups: dict[Any, slice] = {}
        start = 0
        for key, name in sorted((key, name) for name, key in belongs.items()):
            shapes[name] = parameters[name].shape
            stop = start + parameters[name].size
            places[name] = slice(start, stop)
            begin = groups[key].start if key in groups else start
            groups[key], start = slice(begin, stop), stop
        return cls(shapes, places, groups, dtypes.pop())

    @property
    def size(self) -> int:
        """How many numbers there are."""
        return max(place.stop for place in self.places.values())

    @property
    def digest(self) -> int:
        """A number that changes with names, shapes, groups and their order."""
        return zlib.crc32(repr((self.shapes, self.groups)).encode())

    def pack(self, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
        """One new vector of all these arrays, which are named as the parameters."""
        if arrays.keys() != self.shapes.keys():
            odd = sorted(arrays.keys() ^ self.shapes.keys())
            raise ValueError(f"a gradient for each parameter: see {', '.join(odd[:3])}")
        for name, shape in self.shapes.items():
            if arrays[name].shape != shape:
                raise ValueError(
                    f"{name} is {shape}, but its gradient is {arrays[name].shape}"
                )
        flat = np.empty(self.size, self.dtype)
        parts = [arrays[name].reshape(-1) for name in self.shapes]
        return np.concatenate(parts, out=flat, casting="same_kind")

    def unpack(self, flat: np.ndarray) -> dict[str, np.ndarray]:
        """Views into a vector, by name and in shape."""
        return {
            name: flat[place].reshape(self.shapes[name])
            for name, place in self.places.items()
        }

    def chunks(self) -> Iterator[tuple[slice, Any]]:
        """(slice, its group) for every piece of the vector."""
        for key, place in self.groups.items():
            for start in range(place.start, place.stop, CHUNK):
                yield slice(start, min(start + CHUNK, place.stop)), key
