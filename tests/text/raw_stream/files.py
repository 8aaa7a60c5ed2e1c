"""Files of tokenizers on a raw stream, ours and the library's, for the tests."""

import functools
import json

import tokenizers
from tokenizers import (
    AddedToken,
    Regex,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from refvlm.text import (
    SENTENCE_PIECE,
    RawStream,
    Tokenizer,
    learn_raw_bpe,
    learn_unigram,
)
from refvlm.text.engines.library import LibraryEngine
from refvlm.text.engines.plain import PlainEngine
from refvlm.text.raw_stream.spelled_bytes import BYTE_TOKENS
from refvlm.text.raw_stream.stream import SPELLED

from ..vocabulary import CORPUS

TEXTS = [*CORPUS.splitlines(), "a red cube on a red  table", "数学 🙂 naïve ﬁne"] * 2
MARKERS = ("<unk>", "<s>", "</s>", "<image>")
PLAIN = RawStream(prefix="first", cut=False)
NEVER = RawStream(prefix="never", nmt=True, form="NFKC")
FIRST = RawStream(form="NFKC", collapse=True, prefix="first")
NEWER = RawStream(prefix="first", cut=False, decoding=SPELLED)


def by_library(backend, trainer, late=()):
    """A tokenizer that the library itself learnt, with markers of every sort."""
    backend.train_from_iterator(TEXTS, trainer)
    backend.add_special_tokens(["<pad>"])
    backend.add_tokens([AddedToken("redcube", normalized=False), *late, "<plain>"])
    start = backend.token_to_id("<s>")
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", start)]
    )
    return json.loads(backend.to_str())


def library_unigram():
    """As the library's own SentencePieceUnigramTokenizer is put together."""
    backend = tokenizers.Tokenizer(models.Unigram())
    backend.normalizer = normalizers.Sequence(
        [
            normalizers.Nmt(),
            normalizers.NFKC(),
            normalizers.Replace(Regex(" {2,}"), " "),
        ]
    )
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=220,
        special_tokens=["<s>", "<unk>"],
        unk_token="<unk>",
        show_progress=False,
    )
    return by_library(backend, trainer, ["x y"])


def library_llama(newer):
    """As transformers puts LLaMA's together, the older way and the newer."""
    backend = tokenizers.Tokenizer(
        models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True)
    )
    if newer:
        backend.pre_tokenizer = pre_tokenizers.Metaspace(
            prepend_scheme="first", split=False
        )
    else:
        backend.normalizer = normalizers.Sequence(
            [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
        )
    backend.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=["<unk>", "<s>", "</s>", *BYTE_TOKENS],
        max_token_length=9,
        show_progress=False,
    )
    made = by_library(backend, trainer, ["x y"] if newer else [])
    # The bytes are no markers, only pieces; in the older way no marker is normalised.
    made["added_tokens"] = [
        {**m, "normalized": m["normalized"] and newer}
        for m in made["added_tokens"]
        if m["content"] not in BYTE_TOKENS
    ]
    return made


FILES = {
    "unigram": lambda: learn_unigram(TEXTS, 260, MARKERS).describe(),
    "unigram, bytes": lambda: learn_unigram(
        TEXTS, 480, MARKERS, byte_fallback=True
    ).describe(),
    "unigram, one word": lambda: learn_unigram(TEXTS, 230, MARKERS, PLAIN).describe(),
    "unigram, no prefix": lambda: learn_unigram(TEXTS, 240, MARKERS, NEVER).describe(),
    "unigram, first": lambda: learn_unigram(TEXTS, 240, MARKERS, FIRST).describe(),
    "unigram, library's": library_unigram,
    "LLaMA": lambda: learn_raw_bpe(TEXTS, 520, MARKERS).describe(),
    "LLaMA, newer": lambda: learn_raw_bpe(TEXTS, 520, MARKERS, NEWER).describe(),
    "LLaMA, library's": lambda: library_llama(newer=False),
    "LLaMA, newer, library's": lambda: library_llama(newer=True),
    "BPE": lambda: learn_raw_bpe(TEXTS, 250, MARKERS, SENTENCE_PIECE, False).describe(),
    "BPE, no prefix": lambda: learn_raw_bpe(
        TEXTS, 250, MARKERS, NEVER, False
    ).describe(),
}


@functools.cache
def document(name):
    return FILES[name]()


@functools.cache
def engines(name):
    """Ours and the library's, of the same file."""
    text = json.dumps(document(name))
    ours = Tokenizer(PlainEngine.from_json(text, name), name)
    return ours, Tokenizer(LibraryEngine.from_json(text), name)


def agree(pair, text):
    ours, theirs = pair
    for markers in (True, False):
        ids = ours.encode(text, markers)
        assert ids == theirs.encode(text, markers), (text, markers)
        assert ours.decode(ids, markers) == theirs.decode(ids, markers), (text, markers)
