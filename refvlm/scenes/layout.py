"""Where objects may stand: inside, apart on both axes, and hardly hiding each other."""

from __future__ import annotations

import math

import numpy as np

from .world import APART

REACH = 1.17
"""The farthest point of any shape, turned and stretched, in radii."""

CLOSEST = 0.74
"""Centres are this far apart at least, in sums of radii. Of two equal discs the upper
one then hides 16 % of the lower one; a smaller one always lies above."""

CLOSEST_ALIKE = 1.2
"""The same for two objects of one colour: they do not touch."""

CANDIDATES = 48

# Objects by rank from left to right: their ranks from top to bottom. No two are
# neighbours on both axes, so that this always fits.
SPREAD = {1: (0,), 2: (0, 1), 3: (1, 0, 2), 4: (1, 3, 0, 2)}


def place_objects(
    rng: np.random.Generator,
    radii: np.ndarray,
    colours: list[str],
    aspect: float,
) -> np.ndarray:
    """Places for objects of these radii, (n, 2), from some dozen candidates at once.

    The best candidate is the first that obeys the rules; where none does, the
    objects are spread out evenly, which always obeys them.
    """
    units = np.array([math.sqrt(aspect), 1.0 / math.sqrt(aspect)])
    margins = REACH * radii[:, None] / units
    least = closest_distances(radii, colours)
    for _ in range(2):
        places = _candidates(rng, margins)
        good = _obeys(places, margins, least, units)
        if good.any():
            return places[good.argmax()]
    return _spread(rng, margins)


def closest_distances(radii: np.ndarray, colours: list[str]) -> np.ndarray:
    """The least distance of every two centres, (n, n); none from itself."""
    alike = np.array([[one == other for other in colours] for one in colours])
    least = np.where(alike, CLOSEST_ALIKE, CLOSEST) * (radii[:, None] + radii)
    np.fill_diagonal(least, 0.0)
    return least


def _candidates(rng, margins):
    """Many layouts, (candidates, n, 2), whose gaps on each axis are kept already:
    sorted uniform numbers with the gaps added, in some order."""
    count = len(margins)
    least = margins.min(axis=0)
    room = 1.0 - 2 * least - (count - 1) * APART
    free = np.sort(rng.random((CANDIDATES, count, 2)), axis=1) * room
    sorted_places = least + free + APART * np.arange(count)[:, None]
    order = rng.random((CANDIDATES, count, 2)).argsort(axis=1)
    return np.take_along_axis(sorted_places, order, axis=1)


def _obeys(places, margins, least, units):
    """Which candidates lie inside the picture and keep their distances."""
    inside = ((places >= margins) & (places <= 1.0 - margins)).all(axis=(1, 2))
    gaps = (places[:, :, None] - places[:, None]) * units
    distances = np.sqrt((gaps**2).sum(axis=-1))
    return inside & (distances >= least).all(axis=(1, 2))


def _spread(rng, margins):
    """The objects as far from each other as the picture lets them be."""
    count = len(margins)
    ranks = np.stack([np.arange(count), SPREAD[count]], axis=1)
    if rng.random() < 0.5:
        ranks[:, 0] = count - 1 - ranks[:, 0]
    ranks = ranks[rng.permutation(count)]
    low = margins.max(axis=0)
    step = (1.0 - 2 * low) / max(count - 1, 1)
    return low + step * ranks
