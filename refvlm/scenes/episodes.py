"""Episodes: pictures that were seen and are gone, and one that is there.

A scene of an episode holds two objects that share neither colour nor shape, so that
each of its words means one of them, and who knows one of a picture's objects can ask
for "the other". Whoever draws pictures beforehand composes episodes of what there is,
by number: a picture then serves in many.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ..arguments import check_whole
from .sampling import sample
from .world import Object, Scene

MOST = 64
"""So many pictures an episode has at most, beside the present one."""


@dataclass(frozen=True)
class Episode:
    """`past` are 1 to 64 scenes in the order in which they were seen, `present` is the
    one before the eyes."""

    past: tuple[Scene, ...]
    present: Scene

    def __post_init__(self):
        if not 1 <= len(self.past) <= MOST:
            raise ValueError(
                f"Episode: past has {len(self.past)} scenes, but must have 1 to {MOST}"
            )
        for scene in self.scenes:
            if not is_of_two(scene):
                raise ValueError(
                    "Episode: each scene must have two objects of different colours "
                    f"and different shapes, but one has {[*map(_named, scene.objects)]}"
                )

    @property
    def scenes(self) -> tuple[Scene, ...]:
        """All of them, the present one last."""
        return *self.past, self.present


def is_of_two(scene: Scene) -> bool:
    """Whether there are two objects that share neither colour nor shape."""
    if len(scene.objects) != 2:
        return False
    one, other = scene.objects
    return one.colour != other.colour and one.shape != other.shape


def _named(thing: Object) -> str:
    return f"{thing.colour} {thing.shape}"


def sample_two(rng: np.random.Generator, split: str = "train") -> Scene:
    """A square scene for an episode; in the split "unseen" one object at least is of a
    held-out pair, in "train" none.

    >>> scene = sample_two(np.random.default_rng(0))
    >>> [f"{thing.colour} {thing.shape}" for thing in scene.objects]
    ['pink star', 'cyan square']
    """
    while True:  # more than half of all scenes of two are such
        scene = sample(rng, split, count=2, aspect=1.0)
        if is_of_two(scene):
            return scene


def compose(scenes: Sequence[Scene], chosen: Iterable[int]) -> Episode:
    """The episode of some scenes by their numbers, the present one last.

    >>> rng = np.random.default_rng(0)
    >>> pool = [sample_two(rng) for _ in range(5)]
    >>> episode = compose(pool, choose(rng, len(pool), 2))
    >>> len(episode.past), episode.present in pool
    (2, True)
    """
    *past, present = (scenes[number] for number in chosen)
    return Episode(tuple(past), present)


def choose(rng: np.random.Generator, scenes: int, length: int) -> np.ndarray:
    """Numbers of different ones of so many scenes: `length` for the past, and one for
    the present."""
    check_whole("choose", least=1, most=MOST, length=length)
    if length >= scenes:
        raise ValueError(
            f"choose: an episode of {length} and a present one needs {length + 1} "
            f"scenes, but there are {scenes}: draw more"
        )
    return rng.choice(scenes, length + 1, replace=False)


def sample_episode(
    rng: np.random.Generator, length: int, split: str = "train"
) -> Episode:
    """An episode of so many past scenes, all of them new.

    >>> len(sample_episode(np.random.default_rng(0), 4).past)
    4
    """
    scenes = [sample_two(rng, split) for _ in range(length + 1)]
    return compose(scenes, range(length + 1))
