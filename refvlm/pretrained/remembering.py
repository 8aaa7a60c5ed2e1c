"""A model that remembers pictures: `model = refvlm.load("microvlm-tiny")`.

    model.remember("monday.png")                   # [1]: the numbers of the pictures
    model.remember("tuesday.png", "today.png")     # [2, 3]
    model.ask("in which picture was the red ring?")
    model.ask("what colour is the ring?", "here.png")     # beside one that is there
    model.recall("in the first picture, ...").retrieval   # what the memory said to it
    model.forget(2)
    model.memory.save("week.memory")               # and load, and left, and faded

A picture that is remembered is gone: of it there is what was written of it. The prompt
is read up to the question's last word. What the decoder makes of that word asks the
memory; what is read there stands before all of the text as one slot, which is seen
only by what comes after it, the answer. A gate says if it is seen at all: where it is
closed, or where nothing is remembered, the answer is that of `answers`.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator
from functools import cached_property, partial
from os import PathLike, fspath
from pathlib import Path

import numpy as np

from .. import ops, text
from ..arguments import check_whole, several
from ..blocks.episodic_memory.gates import gate_bias, is_open
from ..blocks.episodic_memory.prior import Memory
from ..blocks.episodic_memory.reading import novelty
from ..generate import Confidence, Randomness, Watch
from ..models import microvlm, microvlm_memory
from ..models.fastvithd import Progress
from ..models.microvlm_stream import stream_codes
from ..models.splicing import IMAGE
from .memory import EpisodicMemory, FadingWarning, fading
from .memory_files import LONGEST_NAME
from .reading import Pause, answered, finite, one_answer
from .replies import MemoryReply, Retrieval
from .vlm import VLM

GATES = "hard", "soft", "open", "closed"
OF_THE_MEMORY = microvlm.TOWER, microvlm.ADAPTER, microvlm.MEMORY, microvlm.SCOPE


class Remembering(VLM):
    """A VLM with an episodic memory, which lasts from one question to the next."""

    @cached_property
    def memory(self) -> EpisodicMemory:
        """What is remembered, empty at first. `save` and `load` are its own."""
        dtype = self.weights[self.family.computing].dtype
        made = EpisodicMemory(self.config, self.fingerprint, dtype)
        return self.__dict__.setdefault("memory", made)  # one for all threads

    def fingerprint(self) -> str:
        """The SHA-256 of all tensors that write or read a memory, in single precision:
        who has others cannot read it."""
        digest = hashlib.sha256(repr(self.config.memory).encode())
        for name in sorted(self.weights):
            if name.startswith(OF_THE_MEMORY):
                numbers = np.asarray(self.weights[name], np.float32)
                digest.update(f"{name} {numbers.shape}".encode())
                digest.update(numbers.tobytes())
        return digest.hexdigest()

    def remember(self, *pictures, names: list[str] | None = None) -> list[int]:
        """Write pictures, each a path, a stream, bytes or an array, in their order, and
        return the numbers by which they can be forgotten.

        All are remembered, or where one cannot be read, none. A model whose LSTM reads
        one way goes on counting where the last call ended; one of both ways orders
        the pictures of one call, and no others. `names` stand in the receipts.
        """
        if len(pictures) == 1 and isinstance(pictures[0], (list, tuple)):
            raise ValueError(
                "remember: pictures are given one by one, not as one "
                f"{type(pictures[0]).__name__}: remember(*pictures)"
            )
        if names is not None:
            names = several("remember", "names", names)
        if names is not None and len(names) != len(pictures):
            raise ValueError(
                f"remember: names has {len(names)}, but there are {len(pictures)} "
                "pictures: one for each"
            )
        if not pictures:
            return []
        names = [*map(_name, pictures)] if names is None else names
        self.memory.check_room(len(pictures))
        tokens = [self.features(self.preprocessor(p)[None])[0] for p in pictures]
        with self.memory.lock:
            numbers, faded = self._write([*map(_spelled, names)], tokens)
        if faded:
            warnings.warn(fading(self.memory, faded), FadingWarning, stacklevel=2)
        return numbers

    def _write(self, names, tokens):
        """Write what was seen of pictures: their numbers, and of those that faded."""
        memory = self.memory
        memory.check_room(len(names))
        with np.errstate(all="ignore"):  # what is not finite is refused
            codes, order = stream_codes(
                np.stack(tokens),
                memory.kept.order,
                self.weights,
                self.config,
            )
        finite(codes, self.weights, "codes of the pictures")
        before = set(memory.faded())
        numbers = memory.write(names, codes, order)
        return numbers, [number for number in memory.faded() if number not in before]

    def forget(self, number: int) -> None:
        """Take back what was written of a picture, by its number. The others keep
        theirs, and the model still counts it: the third picture stays the third."""
        self.memory.forget(number)

    def ask(
        self,
        question: str,
        picture=None,
        max_new_tokens: int = 96,
        rng: Randomness | None = None,
        gate: str = "hard",
        **options,
    ) -> str:
        """The answer to a question about what is remembered, or about a picture that is
        there. `options` as for `generate`; `gate` as for `ask_stream`."""
        asked = question, picture, max_new_tokens
        return self.recall(*asked, rng=rng, gate=gate, **options).text

    def recall(
        self,
        question: str,
        picture=None,
        max_new_tokens: int = 96,
        rng: Randomness | None = None,
        gate: str = "hard",
        **options,
    ) -> MemoryReply:
        """The same answer, with how sure the model was of it, and what the memory had
        to do with it."""
        retrievals: list[Retrieval] = []
        confidence = Confidence(self.stop_ids)
        pieces = self.ask_stream(
            question,
            picture,
            max_new_tokens,
            rng=rng,
            watch=confidence,
            gate=gate,
            retrievals=retrievals,
            **options,
        )
        said = "".join(piece for _, piece in pieces).strip()
        least = float(confidence.of(1)[0])
        retrieval = next(iter(retrievals), None)
        is_open = retrieval is not None and retrieval.is_open
        return MemoryReply(said, least, retrieval, picture is None and not is_open)

    def ask_stream(
        self,
        question: str,
        picture=None,
        max_new_tokens: int = 96,
        progress: Progress | None = None,
        rng: Randomness | None = None,
        watch: Watch | None = None,
        gate: str = "hard",
        retrievals: list[Retrieval] | None = None,
        **options,
    ) -> Iterator[tuple[int, str]]:
        """Yield (id, text) as the answer comes, as `describe_stream` does.

        The gate is "hard", open or closed as the model thinks likelier; "soft", as
        likely as it thinks; or "open" or "closed", whatever it thinks. Into
        `retrievals` goes what the memory said to it, if anything is remembered.
        """
        check_whole("ask", max_new_tokens=max_new_tokens)
        if isinstance(question, str) and not question.strip():
            raise ValueError(
                f"ask: question is {question!r:.40}, but must be a text of words"
            )
        if gate not in GATES:
            raise ValueError(f"ask: gate is {gate!r:.40}, not {', '.join(GATES)}")
        settings = self.settings.given(**one_answer("ask", options))
        ids = self.prompt_ids(question)
        pixels = None if picture is None else self.preprocessor(picture)[None]
        given = self._check(
            pixels, ids if picture is not None else _alone(ids), None, max_new_tokens
        )
        found = [] if retrievals is None else retrievals
        steps = answered(
            partial(self._read_and_ask, given, max_new_tokens, progress, gate, found),
            prompts=1,
            max_new_tokens=max_new_tokens,
            stop_ids=self.stop_ids,
            settings=settings,
            rng=rng,
            watch=watch,
        )
        decoder = text.StreamDecoder(self.tokenizer, markers=False)
        for (new,) in steps:
            yield int(new), decoder.add(int(new))
        yield -1, decoder.finish()

    @cached_property
    def _tail(self):
        """How many tokens the tokenizer puts behind a question: they see the slot."""
        _, behind = self.tokenizer.frame
        if not behind:
            raise text.TokenizerError(
                f"{self.directory}: its tokenizer puts no token behind a text, and the "
                "answer's first word would be chosen before the memory was asked"
            )
        return len(behind)

    def _read_and_ask(self, given, max_new_tokens, progress, gate, found):
        """The prompt, read, with a pause in which the memory is asked."""
        read = self._join(given, progress)
        ahead = microvlm_memory.WIRINGS[self.config.memory.wiring].ahead
        after = 0 if ahead else read.embeddings.shape[1] - self._tail

        def ask(hidden, cache):
            context = read.embeddings.mean(axis=1, keepdims=True) if ahead else hidden
            with self.memory.lock:
                if len(self.memory):
                    retrieval, cache.slots = self._retrieve(context, gate)
                    found.append(retrieval)

        return self._read_joined(read, max_new_tokens, Pause(after, ask))

    def _retrieve(self, context, gate):
        """What a context (1, 1, h) gets of the memory, and the slots that say it."""
        finite(context, self.weights, "hidden states of the question")
        memory = Memory(*(part[None] for part in self.memory.belief))
        found = microvlm_memory.recall(memory, context, self.weights, self.config)
        likely = float(ops.sigmoid(found.gate)[0, 0])
        thought = gate == "hard" and bool(is_open(found.gate)[0, 0])
        opened = thought or gate in ("soft", "open")
        slots = None
        if opened:
            slots = microvlm_memory.slots(
                found.read.astype(context.dtype),
                self.weights,
                self.config,
                gate_bias(found.gate) if gate == "soft" else None,
            )
        address = found.address[0, 0]
        retrieval = Retrieval(
            gate=likely,
            is_open=opened,
            shares=self.memory.shares(address),
            novelty=float(novelty(memory, found.address)[0, 0]),
            address=address,
            read=found.read[0, 0],
        )
        return retrieval, slots


def _alone(ids):
    """A prompt's ids without the place for a picture."""
    return ids[ids != IMAGE][None]


def _name(picture):
    """What a picture is called where nothing is said: its file's name."""
    if isinstance(picture, (str, PathLike)):
        return Path(fspath(picture)).name
    return type(picture).__name__


def _spelled(name):
    """A name that UTF-8 can write, not too long."""
    return str(name).encode("utf-8", "backslashreplace").decode()[:LONGEST_NAME]
