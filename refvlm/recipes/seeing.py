r"""What is where: a question to every cell of the tower's map, asked only in training.

    features (b, n, c) --one linear map--> is an object's centre here?   1 logit
                                           which shape?                  6 logits
                                           which colour?                 8 logits
                                           which size?                   2 logits
                                           where in the picture?         2 numbers

$$L = L_{centre} + L_{shape} + L_{colour} + L_{size} + \tfrac{5}{2} L_{place}$$

each summed over the cells that it asks and divided by the number of objects.

A caption tells the tower little about what was wrong with its features: the gradient
has come through the whole decoder, which at first is as ignorant as the tower. This
loss speaks to the tower directly. Its linear map is thrown away afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .. import ops
from ..autodiff import value_of
from ..objectives.language import IGNORE
from ..scenes import COLOURS, SHAPES, SIZES, Scene

WORDS = {"shape": SHAPES, "colour": COLOURS, "size": SIZES}
WEIGHTS = {"centre": 1.0, "shape": 1.0, "colour": 1.0, "size": 1.0, "place": 2.5}
OUTPUTS = {"centre": 1, **{k: len(words) for k, words in WORDS.items()}, "place": 2}
WIDTH = sum(OUTPUTS.values())

SEEING = "seeing"  # where the linear map lies among the weights: no part of the model
SEEING_WEIGHT = 0.5  # of this loss, beside that of what the model is for


class Cells(NamedTuple):
    """The answers for every cell, (b, n) each and (b, n, 2): indices of words, IGNORE
    where there is no object, and places in cells from the picture's top left corner."""

    shape: np.ndarray
    colour: np.ndarray
    size: np.ndarray
    place: np.ndarray


def seeing_shapes(features: int) -> dict[str, tuple[int, ...]]:
    """The linear map from so many features to the answers."""
    return {f"{SEEING}.weight": (WIDTH, features), f"{SEEING}.bias": (WIDTH,)}


def cells_of(scenes: Sequence[Scene], grid: int) -> Cells:
    """The answers for pictures of these scenes, cut into grid x grid cells.

    Where two centres share a cell, the object that was drawn last has it.
    """
    answers = {
        kind: np.full((len(scenes), grid * grid), IGNORE, np.int64) for kind in WORDS
    }
    place = np.zeros((len(scenes), grid * grid, 2), np.float32)
    for row, scene in enumerate(scenes):
        for thing in scene.objects:
            x, y, _ = scene.in_square(thing)
            column, line = (min(int(v * grid), grid - 1) for v in (x, y))
            cell = line * grid + column
            place[row, cell] = x * grid, y * grid
            for kind, words in WORDS.items():
                answers[kind][row, cell] = words.index(getattr(thing, kind))
    return Cells(**answers, place=place)


def seeing_loss(features, weights, cells: Cells, objects: int):
    """(loss, the share of cells whose three words are all right) of a shard, as its
    share of the batch, which has so many `objects` in all.

    features (b, n, c); weights hold `weight` (19, c) and `bias` (19).
    """
    guesses = ops.linear(features, weights["weight"], weights["bias"])
    guesses = guesses.reshape(-1, WIDTH)
    there = (cells.shape != IGNORE).reshape(-1)
    filled = np.flatnonzero(there)
    parts, start = {}, 0
    for kind, width in OUTPUTS.items():
        parts[kind], start = guesses[:, start : start + width], start + width
    losses = {
        "centre": ops.binary_cross_entropy_with_logits(
            parts["centre"][:, 0], there.astype(guesses.dtype), reduction="sum"
        )
    }
    right = np.ones(len(filled), bool)
    for kind in WORDS:
        answers = getattr(cells, kind).reshape(-1)
        losses[kind] = ops.cross_entropy(parts[kind], answers, reduction="sum")
        best = np.argmax(value_of(parts[kind]), axis=1)
        right &= (best == answers)[filled]
    place = ops.embedding(filled, parts["place"])
    where = cells.place.reshape(-1, 2)[filled]
    losses["place"] = ops.smooth_l1_loss(place, where, reduction="sum")
    total = sum(losses[kind] * (weight / objects) for kind, weight in WEIGHTS.items())
    return total, float(right.sum()) / objects
