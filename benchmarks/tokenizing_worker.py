"""The cases of tokenizing.py, and the worker that times one library on them.

python -m benchmarks.tokenizing_worker refvlm|tokenizers
"""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path

from . import identity
from .turns import seconds, serve

ROOT = Path(__file__).parents[1]
LETTERS, SIZE, WORD = 50_000, 1_000, "redcircle" * 2_222
KINDS = {
    "byte-level BPE": "learn_byte_level",
    "WordPiece": "learn_word_piece",
    "unigram": "learn_unigram",
    "raw-stream BPE": "learn_raw_bpe",
}
CASES = {
    **{f"{job} {kind}": (job, kind) for job in ("learn", "cut by") for kind in KINDS},
    "one word of 20,000 letters": ("word", "byte-level BPE"),
}


@cache
def lines():
    """The beginning of the book, line by line."""
    pages = sorted((ROOT / "book").glob("*.md"))
    return "".join(p.read_text(encoding="utf-8") for p in pages)[:LETTERS].splitlines()


@cache
def learnt(kind):
    from refvlm import text

    return getattr(text, KINDS[kind])(lines(), SIZE)


def timed(call, *arguments):
    """Seconds of a call, the median of a few."""
    return seconds(lambda: call(*arguments), at_least=0.1, warm=0.01)


class Worker:
    """Times one library; both cut with the same tokens."""

    def __init__(self, library):
        self.library = library

    def run(self, name):
        """Seconds of one case."""
        job, kind = CASES[name]
        ours = self.library == "refvlm"
        whole = WORD if job == "word" else "\n".join(lines())
        if job == "learn" and ours:
            return timed(learnt.__wrapped__, kind)
        if job == "learn":
            return timed(self._trainer(kind))
        if ours:
            return timed(learnt(kind).encode, whole, False)
        return timed(self._backend(kind).encode, whole)

    def _backend(self, kind):
        import tokenizers

        document = json.dumps(learnt(kind).describe())
        return tokenizers.Tokenizer.from_str(document)

    def _trainer(self, kind):
        """Learning from nothing, with the same normal form and the same cut."""
        from tokenizers import models, pre_tokenizers, trainers

        options = {"vocab_size": SIZE, "show_progress": False}
        letters = pre_tokenizers.ByteLevel.alphabet()
        bytewise = {"initial_alphabet": letters if kind == "byte-level BPE" else []}
        named = {"unk_token": "<unk>", "special_tokens": ["<unk>", "<s>", "</s>"]}
        model, trainer = {
            "WordPiece": (
                lambda: models.WordPiece({}, unk_token="[UNK]"),
                lambda: trainers.WordPieceTrainer(**options),
            ),
            "unigram": (
                models.Unigram,
                lambda: trainers.UnigramTrainer(**options, **named),
            ),
        }.get(kind, (models.BPE, lambda: trainers.BpeTrainer(**options, **bytewise)))

        def call():
            backend = self._backend(kind)
            backend.model = model()
            backend.train_from_iterator(lines(), trainer())

        return call

    def versions(self):
        """What is measured."""
        if self.library == "refvlm":
            return {"python": sys.version.split()[0]} | identity.numpy_versions()
        import tokenizers

        return {"tokenizers": tokenizers.__version__}


if __name__ == "__main__":
    worker = Worker(sys.argv[1])
    serve({"run": worker.run, "versions": worker.versions})
