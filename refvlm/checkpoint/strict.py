"""Strict loading: a checkpoint either fits the model or is refused, all at once.

A tensor that is silently absent or misread gives a model that runs and talks nonsense.
So the names and shapes of the file are held against those that the configuration asks
for, before anything is computed, and every misfit is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from .errors import CheckpointError, listed, quoted
from .weights import Weights


def expect(
    weights: Weights,
    shapes: Mapping[str, tuple[int, ...]],
    ignore: Iterable[str] = (),
) -> None:
    """Raise unless `weights` holds exactly the tensors in `shapes`, all floating.

    `ignore` are patterns (`*.num_batches_tracked`) of tensors that may be there too.
    """
    found = weights.shapes()
    patterns = list(ignore)
    missing = [quoted(name) for name in shapes if name not in found]
    unexpected = [
        quoted(name)
        for name in found
        if name not in shapes
        and not any(fnmatchcase(name, pattern) for pattern in patterns)
    ]
    misshaped = [
        f"{quoted(name)} is {found[name]} and should be {tuple(shape)}"
        for name, shape in shapes.items()
        if name in found and found[name] != tuple(shape)
    ]
    whole = [
        quoted(name)
        for name in shapes
        if name in found and not weights.is_floating(name)
    ]
    problems = [
        f"{len(names)} {what}: {listed(names)}"
        for what, names in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("of another shape", misshaped),
            ("not of floating numbers", whole),
        )
        if names
    ]
    if problems:
        raise CheckpointError(
            f"{weights.origin} does not fit this model; its tensors are not those that "
            f"the configuration asks for. {'. '.join(problems)}."
        )
