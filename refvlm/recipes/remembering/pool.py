r"""A pool of pictures that are drawn and looked at once, and shown many times.

A tower that learns nothing says the same of a picture in every step. So each picture
is looked at when a batch first wants it, and what the tower made of it is kept, in
float16. Episodes are composed of the pool by number: 60,000 pictures make more of them
than any run asks for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ... import image, scenes
from ..pixels import to_pixels


class Pool:
    """Scenes of two objects by number, and what a tower sees of them.

    Scene i follows from the seed and i alone. It is drawn at twice the side and shrunk,
    as a picture is in use; `look` makes tokens (1, n, width) of its pixels. They are
    looked at one by one: what is made of a picture is then the same to the last bit,
    whatever was wanted with it.
    """

    def __init__(self, look: Callable, seed: int, size: int, side: int):
        self.look, self.seed, self.size, self.side = look, seed, size, side
        self._scenes: dict[int, scenes.Scene] = {}
        self._seen: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, number: int) -> scenes.Scene:
        """The scene of a number."""
        number = int(number)
        if not 0 <= number < self.size:
            raise IndexError(f"the pool has no picture {number}, but {self.size}")
        if number not in self._scenes:
            rng = np.random.default_rng([self.seed, 3, number])
            self._scenes[number] = scenes.sample_two(rng)
        return self._scenes[number]

    def seen(self, numbers: Sequence[int] | np.ndarray) -> np.ndarray:
        """What the tower sees of some of them: (..., n, width), float32."""
        numbers = np.asarray(numbers)
        shown = np.stack([self._look(number) for number in numbers.flat])
        return shown.astype(np.float32).reshape(*numbers.shape, *shown.shape[1:])

    def _look(self, number):
        number = int(number)
        if number not in self._seen:
            drawn = scenes.draw(self[number], 2 * self.side)
            pixels = to_pixels([image.resize(drawn, self.side, self.side)])
            self._seen[number] = self.look(pixels)[0].astype(np.float16)
        return self._seen[number]
