"""The cases of tokenizing.py, and the worker that times one library on them.

python -m benchmarks.tokenizing_worker refvlm|tokenizers
"""

from __future__ import annotations

import json
import statistics
import sys
from functools import cache
from pathlib import Path
from time import perf_counter

from . import identity
from .turns import serve

ROOT = Path(__file__).parents[1]
LETTERS, SIZE, WORD = 50_000, 1_000, "redcircle" * 2_222
ENOUGH = 0.2  # seconds: the system counts its work in hundredths
KINDS = {
    "byte-level BPE": "learn_byte_level",
    "WordPiece": "learn_word_piece",
    "unigram": "learn_unigram",
    "raw-stream BPE": "learn_raw_bpe",
}
JOBS = ("learn", "cut by", "cut again by")
ONE_WORD = "one word of 20,000 letters"
CASES = {f"{job} {kind}": (job, kind) for job in JOBS for kind in KINDS} | {
    ONE_WORD: ("cut by", "byte-level BPE")
}


@cache
def lines():
    """The beginning of the book's pages, ordered by name, line by line."""
    pages = sorted((ROOT / "book").glob("*.md"))
    return "".join(p.read_text(encoding="utf-8") for p in pages)[:LETTERS].splitlines()


def text_of(name):
    """What a case reads."""
    return WORD if name == ONE_WORD else "\n".join(lines())


@cache
def learnt(kind):
    """Our tokens, by which both libraries cut."""
    from refvlm import text

    return getattr(text, KINDS[kind])(lines(), SIZE)


def timed(prepare, call):
    """Seconds of a call on what is prepared for it, unseen by the clock: the median of
    some, after one that warms up."""

    def once():
        prepared, start = prepare(), perf_counter()
        call(prepared)
        return perf_counter() - start

    once()
    times, end = [], perf_counter() + ENOUGH
    while len(times) < 3 or perf_counter() < end:
        times.append(once())
    return statistics.median(times)


class Refvlm:
    """What is prepared for each job, and the job. Nothing is kept of a text."""

    def learn(self, kind):
        return lambda: None, lambda _: learnt.__wrapped__(kind)

    def cut(self, kind, text):
        return lambda: learnt(kind), lambda subwords: subwords.encode(text)

    def versions(self):
        return {"python": sys.version.split()[0]} | identity.numpy_versions()


class Tokenizers:
    """The same, compiled. Cutting, it keeps what words are cut into."""

    def learn(self, kind):
        """From nothing, with our normal form, our cut and as many tokens."""
        from tokenizers import models, pre_tokenizers, trainers

        options = {
            "vocab_size": SIZE,
            "special_tokens": list(learnt(kind).markers),
            "show_progress": False,
        }
        if kind == "WordPiece":
            model, trainer = models.WordPiece, trainers.WordPieceTrainer
        elif kind == "unigram":
            from refvlm.text.unigram.training import SEEDS

            options |= {"unk_token": "<unk>", "seed_size": SEEDS * SIZE}
            model, trainer = models.Unigram, trainers.UnigramTrainer
        else:
            model, trainer = models.BPE, trainers.BpeTrainer
        if kind == "byte-level BPE":
            options["initial_alphabet"] = pre_tokenizers.ByteLevel.alphabet()
        if kind == "raw-stream BPE":  # its bytes are none of the trainer's tokens
            options["vocab_size"] -= 256

        def untaught():
            backend = self._backend(kind)
            backend.model = model()
            if kind == "raw-stream BPE":  # which learns within words, and cuts whole
                words = pre_tokenizers.Split("▁", "merged_with_next")
                backend.pre_tokenizer = words
            return backend, trainer(**options)

        return untaught, lambda pair: pair[0].train_from_iterator(lines(), pair[1])

    def cut(self, kind, text):
        """Ids alone, as ours: no offsets, no frame."""

        def call(backend):
            (cut,) = backend.encode_batch_fast([text], add_special_tokens=False)
            return cut.ids

        return lambda: self._backend(kind), call

    def _backend(self, kind):
        import tokenizers

        return tokenizers.Tokenizer.from_str(json.dumps(learnt(kind).describe()))

    def versions(self):
        import tokenizers

        return {"tokenizers": tokenizers.__version__}


LIBRARIES = {"refvlm": Refvlm, "tokenizers": Tokenizers}


class Worker:
    """Times one library."""

    def __init__(self, library):
        self.library = LIBRARIES[library]()
        self.versions = self.library.versions

    def run(self, name):
        """Seconds of one case."""
        job, kind = CASES[name]
        if job == "learn":
            return timed(*self.library.learn(kind))
        fresh, call = self.library.cut(kind, text_of(name))
        return timed(fresh if job == "cut by" else cache(fresh), call)


if __name__ == "__main__":
    worker = Worker(sys.argv[1])
    serve({"run": worker.run, "versions": worker.versions})
