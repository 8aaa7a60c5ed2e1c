"""What a model that remembers says beside an answer."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Retrieval(NamedTuple):
    """What a question got of the memory.

    `gate` is how likely it is one for the memory, and `is_open` whether the answer saw
    what was read. `shares` say of each picture, by its number, how much of it was in
    that. `novelty` is 1 where nothing like the question's `address` (K,) was written,
    and near 0 where it was; `read` (C,) is what was read there.
    """

    gate: float
    is_open: bool
    shares: dict[int, float]
    novelty: float
    address: np.ndarray
    read: np.ndarray


class MemoryReply(NamedTuple):
    """What was said, how likely its least likely token was, and what the memory had to
    do with it: None where nothing is remembered.

    `is_guess` says that there was nothing to answer from: no picture was there, and
    nothing is remembered, or the gate was closed to it.
    """

    text: str
    confidence: float
    retrieval: Retrieval | None
    is_guess: bool
