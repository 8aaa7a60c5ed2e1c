r"""What a model remembers: one belief, and a receipt for each picture.

    memory.receipts            # number -> what was written of a picture, and its name
    memory.left()              # number -> the part of it that is there yet
    memory.forget(2)           # the write, taken back
    memory.save("trip.memory")
    memory.load("trip.memory")

The belief, a mean (K, C) and a covariance (K, K), is all that a question meets, and its
size is the same however much is written. What was written cannot be told from it. So
beside it lies a receipt for each picture: the addresses and the codes. By these it is
said what is lost, and by these a picture is forgotten.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ..arguments import is_whole
from ..blocks.episodic_memory.forgetting import forget, roundings_left
from ..blocks.episodic_memory.prior import Memory
from ..blocks.episodic_memory.reading import read
from ..blocks.episodic_memory.writing import write_all
from ..models import microvlm_memory
from ..models.microvlm_config import MicroVLMConfig
from . import memory_files
from .memory_files import Kept, Receipt

MOST = 1024  # pictures; the receipts of all are in the file
DIGITS = 1e4  # a picture is taken back to a ten thousandth, or the others written again
SOME = 64  # pictures whose shares are counted at once
FADED = 0.5
"""A picture has faded of which less than this part is left."""


class FadingWarning(UserWarning):
    """Of some picture more is lost by now than is left."""


class EpisodicMemory:
    """A belief, the receipts of what made it, and where the order of pictures stands.

    `fingerprint()` tells the model whose memory it is from others. The first picture
    has the number 1, and a number is given once: what is forgotten leaves a gap, for
    the model has counted it. No array is ever written to: each change puts new ones in
    the place of the old, all at once; who writes or forgets holds the `lock`, so that
    threads share a memory.

    The belief does not grow, but the receipts do, and so does the file: by a few kB
    with each picture.
    """

    def __init__(
        self,
        config: MicroVLMConfig,
        fingerprint: Callable[[], str],
        dtype: type | np.dtype = np.float32,
    ):
        self.config, self.fingerprint = config, fingerprint
        self.dtype = np.promote_types(dtype, np.float32)
        self.kept = Kept(microvlm_memory.start(config, self.dtype), {}, 0, None)
        self.lock = threading.RLock()
        self._left: tuple[Kept, dict[int, float]] | None = None  # of that, counted once

    def __getstate__(self):
        """All but the lock: each copy has its own."""
        return {name: self.__dict__[name] for name in self.__dict__ if name != "lock"}

    def __setstate__(self, state):
        self.__dict__.update(state, lock=threading.RLock())

    @property
    def belief(self) -> Memory:
        """What a question meets: mean (K, C) and covariance (K, K)."""
        return self.kept.belief

    @property
    def receipts(self) -> dict[int, Receipt]:
        """What was written of each picture that is not forgotten, by its number."""
        return dict(self.kept.receipts)

    @property
    def facts(self) -> int:
        """How many codes were written and not forgotten: beyond the number of slots
        they contradict each other."""
        return sum(len(receipt.codes) for receipt in self.kept.receipts.values())

    def __len__(self) -> int:
        return len(self.kept.receipts)

    def write(self, names: Sequence[str], codes: np.ndarray, order=None) -> list[int]:
        """Remember pictures, and return their numbers. codes (n, k, C); `order` is the
        state of the model's LSTM behind the last."""
        codes = codes.astype(self.dtype)
        with self.lock:
            belief, receipts, shown, _ = self.kept
            receipts = dict(receipts)
            for number, (name, some) in enumerate(zip(names, codes), start=shown + 1):
                addresses = microvlm_memory.addresses(some, self.config)
                receipts[number] = Receipt(name, *map(_in_rows, (addresses, some)))
                belief = self._written(belief, receipts[number])
            self.kept = Kept(belief, receipts, shown + len(names), order)
        return [*range(shown + 1, shown + 1 + len(names))]

    def check_room(self, pictures: int) -> None:
        """Refuse more pictures than one memory takes."""
        if self.kept.shown + pictures > MOST:
            raise ValueError(
                f"remember: {self.kept.shown} pictures were shown already, and one "
                f"memory takes {MOST}, but not {pictures} more: begin another"
            )

    def _written(self, belief, receipt):
        noise = self.config.memory.noise
        belief = write_all(belief, receipt.addresses, receipt.codes, noise)
        return Memory(*map(_in_rows, belief))

    def forget(self, number: int) -> None:
        """Take back what was written of a picture. The others keep their numbers.

        A write is taken back by what it wrote, and needs nothing of the others. Digits
        are lost in that, the more the smaller the noise; where too few would be left,
        all others are written again.
        """
        with self.lock:
            taken, kept = self._receipt(number), self.kept
            rest = {n: kept.receipts[n] for n in kept.receipts if n != number}
            belief = self._without(taken)
            if belief is None:
                belief = microvlm_memory.start(self.config, self.dtype)
                for receipt in rest.values():
                    belief = self._written(belief, receipt)
            self.kept = kept._replace(belief=belief, receipts=rest)

    def _without(self, receipt):
        """The belief before a picture was written, if its digits are there yet."""
        belief, noise = self.belief, self.config.memory.noise
        for address, code in zip(receipt.addresses, receipt.codes):
            if roundings_left(belief, address, noise) < DIGITS:
                return None
            belief = forget(belief, address, code, noise)
        return Memory(*map(_in_rows, belief))

    def _receipt(self, number):
        shown, receipts = self.kept.shown, self.kept.receipts
        known = is_whole(number)
        if known and number in receipts:
            return receipts[number]
        if known and 1 <= number <= shown:
            why = f"picture {number} was forgotten already"
        else:
            why = f"there is no picture {number!r:.40}"
        some = ", ".join(map(str, receipts)) or "none"
        raise ValueError(f"forget: {why}: those that are remembered are {some:.200}")

    def residues(self) -> dict[int, float]:
        r"""Of each picture the part of what it told that is not read back:
        $\lVert Z - WM\rVert / \lVert Z - WM_0\rVert$. It is 0 where all of it is, and 1
        where the memory says what it would have said before."""
        if not len(self):
            return {}
        before = microvlm_memory.start(self.config, self.dtype)
        now, then = (self._surprises(belief) for belief in (self.belief, before))
        parts = now / np.maximum(then, np.finfo(self.dtype).tiny)
        return dict(zip(self.kept.receipts, parts.tolist()))

    def _surprises(self, belief):
        """How far each picture's codes are from what a belief says there."""
        receipts = self.kept.receipts.values()
        addresses = np.concatenate([receipt.addresses for receipt in receipts])
        codes = np.concatenate([receipt.codes for receipt in receipts])
        squares = np.square(codes - read(belief, addresses)).sum(axis=1)
        return np.sqrt(np.add.reduceat(squares, self._starts()))

    def _starts(self):
        """Where each picture's rows begin among those of all."""
        counts = [len(receipt.codes) for receipt in self.kept.receipts.values()]
        return np.cumsum([0, *counts[:-1]])

    def clarity(self) -> dict[int, float]:
        """Of what is read where a picture was written, the part that is its own, and
        not that of others beside it: the mean of its shares at its own addresses."""
        clarity: list[float] = []
        receipts = [*self.kept.receipts.values()]
        for start in range(0, len(receipts), SOME):
            some = receipts[start : start + SOME]
            ends = np.cumsum([len(receipt.addresses) for receipt in some])[:-1]
            shares = self._shares(np.concatenate([r.addresses for r in some]))
            for place, rows in enumerate(np.split(shares, ends), start):
                clarity.append(float(rows[:, place].mean()))
        return dict(zip(self.kept.receipts, clarity))

    def left(self) -> dict[int, float]:
        """Of each picture the part that is read back and is its own. Each one that is
        written takes from those before, long before the slots are full: reads are
        linear, and addresses are not at right angles. So do copies of one picture,
        which share what is read though none of it is lost."""
        with self.lock:
            if self._left is None or self._left[0] is not self.kept:
                residues, clarity = self.residues(), self.clarity()
                left = {n: (1 - min(residues[n], 1)) * clarity[n] for n in residues}
                self._left = self.kept, left
            return dict(self._left[1])

    def faded(self) -> list[int]:
        """The pictures of which more is lost than is left."""
        return [number for number, part in self.left().items() if part < FADED]

    def shares(self, address: np.ndarray) -> dict[int, float]:
        r"""What each picture has to say at an address (K,), of all that they have.

        What is read there is a sum over all codes, each with the weight $w \Sigma
        w_i\transpose / \sigma^2$, and what the prior adds. A picture's share are the
        absolute values of its weights, of the sum of all.
        """
        shares = self._shares(address[None])[0].tolist() if len(self) else []
        return dict(zip(self.kept.receipts, shares))

    def _shares(self, addresses):
        """Those at some addresses, (n, K) -> (n, pictures)."""
        rows = [receipt.addresses for receipt in self.kept.receipts.values()]
        weights = np.abs(addresses @ self.belief.covariance @ np.concatenate(rows).T)
        by_picture = np.add.reduceat(weights, self._starts(), axis=1)
        total = by_picture.sum(axis=1, keepdims=True)
        return by_picture / np.maximum(total, np.finfo(self.dtype).tiny)

    def save(self, path: str | Path) -> None:
        """Write all of it to a file: whole, or not at all. A memory of this model that
        lies there is replaced; whatever else does is refused."""
        memory_files.save(Path(path), self.kept, self.fingerprint())

    def load(self, path: str | Path) -> None:
        """Remember what a file says, in the place of what is remembered now: it goes on
        to the bit as if it had never been saved. The memory of another model is
        refused, and then what is remembered stays."""
        config = self.config.memory
        kept = memory_files.load(Path(path), config, self.fingerprint())
        belief = Memory(*(part.astype(self.dtype) for part in kept.belief))
        self.kept = kept._replace(belief=belief)


def _in_rows(array):
    """A copy as a file has it. The last bit of a product depends on how its arrays lie
    in memory, and what is loaded goes on as what was never saved."""
    return np.array(array, order="C")


def fading(
    memory: EpisodicMemory, faded: list[int], room: str = "forget() makes room"
) -> str:
    """What is lost of pictures that have faded, as a sentence, and what makes room."""
    some = ", ".join(f"{n} ({memory.receipts[n].name!r:.60})" for n in faded[:8])
    more = f" and {len(faded) - 8} more" if len(faded) > 8 else ""
    many = len(faded) > 1
    return (
        f"picture{'s' if many else ''} {some}{more} ha{'ve' if many else 's'} faded: "
        f"more of {'them' if many else 'it'} is lost than is left, with {memory.facts} "
        f"facts in {memory.config.memory.slots} slots. Pictures that are alike share "
        f"what is left. {room}"
    )
