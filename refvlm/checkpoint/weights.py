"""Weights: an immutable mapping from official tensor names to arrays, with scopes.

A published model names its tensors by the path to them, as in
`model.layers.0.self_attn.q_proj.weight`. A function that computes one layer should not
know which layer it is, so it is given a scope: the same tensors, seen through the part
of the name that the caller knows.

>>> weights = Weights({"a.weight": np.ones(2), "a.norm.bias": np.zeros(3)})
>>> weights.scope("a").scope("norm").shapes()
{'bias': (3,)}
>>> weights.scope("a")["weight"] is weights["a.weight"]
True
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from .errors import CheckpointError, MissingTensorError, listed, quoted
from .stored import HeldTensor, Tensor

Tensors = Mapping[str, Tensor]
Renaming = Callable[[str], str | None] | Iterable[tuple[str, str | None]]


class Weights(Mapping):
    """A name gives the same array each time, through whichever view it is asked."""

    __slots__ = ("_prefix", "_tensors", "origin")

    def __init__(self, tensors: Mapping[str, Any], origin: str = "the weights"):
        """Wrap a mapping of arrays, Variables or tensors; `origin` is for messages."""
        self._tensors: Tensors = {name: _held(name, tensors[name]) for name in tensors}
        self._prefix, self.origin = "", origin

    @classmethod
    def of_tensors(
        cls,
        tensors: Tensors,
        origin: str,
        prefix: str = "",
    ) -> Weights:
        """Weights over tensors that need not have been read yet."""
        view = cls.__new__(cls)
        view._tensors, view._prefix, view.origin = tensors, prefix, origin
        return view

    @property
    def prefix(self) -> str:
        """What stands before these names in the whole: `prefix + name` is one there."""
        return self._prefix

    def __getitem__(self, name: str) -> np.ndarray:
        return self.tensor(name).array()

    def get(self, name: str, default: Any = None) -> np.ndarray | Any:
        """The array, or `default` where the name is absent: an optional bias."""
        tensor = self._tensors.get(self._prefix + name)
        return default if tensor is None else tensor.array()

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._prefix + name in self._tensors

    def __iter__(self) -> Iterator[str]:
        skip = len(self._prefix)
        return (name[skip:] for name in self._tensors if name.startswith(self._prefix))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    # Comparing contents would read every tensor, so two mappings are equal when they
    # are the same one.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        where = f" under {quoted(self._prefix)}" if self._prefix else ""
        return f"<Weights: {len(self)} tensors{where} of {self.origin}>"

    def scope(self, name: str) -> Weights:
        """The tensors whose names begin with `name.`, under the rest of their names."""
        prefix = f"{self._prefix}{name}." if name else self._prefix
        return Weights.of_tensors(self._tensors, self.origin, prefix)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """name -> shape, without reading the tensors."""
        return {name: self._tensors[self._prefix + name].shape for name in self}

    def tensor(self, name: str) -> Tensor:
        """What stands under a name, without reading it."""
        tensor = self._tensors.get(self._prefix + name)
        if tensor is None:
            raise self._missing(self._prefix + name)
        return tensor

    def is_floating(self, name: str) -> bool:
        """Whether a tensor holds fractions, without reading it."""
        return self._tensors[self._prefix + name].is_floating

    def replace(self, values: Mapping[str, Any]) -> Weights:
        """The same weights with other values under some names, scopes included."""
        for name in values:
            if name not in self:
                raise self._missing(self._prefix + name)
        changed = {self._prefix + name: _held(name, values[name]) for name in values}
        return Weights.of_tensors(
            {**self._tensors, **changed}, self.origin, self._prefix
        )

    def add(self, values: Mapping[str, Any]) -> Weights:
        """The same weights and these, which stand in for any of the same names."""
        added = {self._prefix + name: _held(name, values[name]) for name in values}
        return Weights.of_tensors({**self._tensors, **added}, self.origin, self._prefix)

    def rename(self, change: Renaming) -> Weights:
        """The same tensors under other names, for a checkpoint of another dialect.

        `change` maps a name to its new name, or to None to leave the tensor out. It is
        a function, or pairs (regular expression, replacement) of which each is applied
        to the whole name in turn, as `re.sub` does; a pattern paired with None leaves
        out what it finds.
        """
        rename = change if callable(change) else _rename_by_pairs(list(change))
        renamed: dict[str, Tensor] = {}
        source: dict[str, str] = {}
        for name in self:
            new = rename(name)
            if new is None:
                continue
            if new in renamed:
                raise CheckpointError(
                    f"{self.origin}: {quoted(source[new])} and {quoted(name)} would "
                    f"both be named {quoted(new)}"
                )
            renamed[new], source[new] = self._tensors[self._prefix + name], name
        return Weights.of_tensors(renamed, self.origin)

    def _missing(self, name: str) -> MissingTensorError:
        near = difflib.get_close_matches(name, self._tensors, n=3)
        hint = f"; the nearest names are {listed(list(map(quoted, near)))}"
        return MissingTensorError(
            f"{self.origin}: there is no tensor {quoted(name)}{hint if near else ''}"
        )


def _held(name: object, value: Any) -> Tensor:
    if not isinstance(name, str):
        raise CheckpointError(f"a tensor's name is a string, not {quoted(name)}")
    if isinstance(value, Tensor):
        return value
    if not hasattr(value, "shape"):
        raise CheckpointError(
            f"tensor {quoted(name)} is a {type(value).__name__}, not an array"
        )
    return HeldTensor(value)


def _rename_by_pairs(pairs: list[tuple[str, str | None]]):
    patterns = [(re.compile(pattern), new) for pattern, new in pairs]

    def rename(name: str) -> str | None:
        for pattern, new in patterns:
            if new is not None:
                name = pattern.sub(new, name)
            elif pattern.search(name):
                return None
        return name

    return rename
