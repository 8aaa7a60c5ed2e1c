"""Unigram and BPE on a raw stream: the ids and the texts of the tokenizers library."""

import functools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm.text import Tokenizer
from refvlm.text.engines.library import LibraryEngine
from refvlm.text.engines.plain import PlainEngine
from refvlm.text.raw_stream.learning import learn_raw_bpe
from refvlm.text.raw_stream.stream import SENTENCE_PIECE, SPELLED, RawStream
from refvlm.text.unigram.learning import learn_unigram

from ...spec import oracle
from ..hard_texts import HARD, NASTY, unicode_texts
from ..vocabulary import CORPUS

TEXTS = [*CORPUS.splitlines(), "a red cube on a red  table", "数学 🙂 naïve ﬁne"] * 2
MARKERS = ("<unk>", "<s>", "</s>", "<image>")
PLAIN = RawStream(prefix="first", cut=False)
NEVER = RawStream(prefix="never", cut=True, nmt=True, form="NFKC")
BOTH = RawStream(nmt=True, form="NFKC", collapse=True, prefix="first")
LEARNT = {
    "unigram": lambda: learn_unigram(TEXTS, 260, MARKERS),
    "unigram, bytes": lambda: learn_unigram(TEXTS, 480, MARKERS, byte_fallback=True),
    "unigram, one word": lambda: learn_unigram(TEXTS, 230, MARKERS, stream=PLAIN),
    "unigram, no prefix": lambda: learn_unigram(TEXTS, 240, MARKERS, stream=NEVER),
    "unigram, all steps": lambda: learn_unigram(TEXTS, 240, MARKERS, stream=BOTH),
    "LLaMA": lambda: learn_raw_bpe(TEXTS, 520, MARKERS),
    "LLaMA, newer": lambda: learn_raw_bpe(
        TEXTS,
        520,
        MARKERS,
        RawStream(prefix="first", cut=False, decoding=SPELLED),
    ),
    "BPE": lambda: learn_raw_bpe(TEXTS, 250, MARKERS, SENTENCE_PIECE, False),
    "BPE, no prefix": lambda: learn_raw_bpe(TEXTS, 250, MARKERS, NEVER, False),
}


@functools.cache
def engines(name):
    """Ours and the library's, of the same file."""
    text = json.dumps(LEARNT[name]().describe())
    ours = Tokenizer(PlainEngine.from_json(text, name), name)
    return ours, Tokenizer(LibraryEngine.from_json(text), name)


EVERY = pytest.mark.parametrize("name", LEARNT)


def agree(name, text):
    ours, theirs = engines(name)
    for markers in (True, False):
        ids = ours.encode(text, markers)
        assert ids == theirs.encode(text, markers)
        assert ours.decode(ids, markers) == theirs.decode(ids, markers)


@oracle
@EVERY
@pytest.mark.parametrize("text", [*HARD.values(), *NASTY, "".join(NASTY)])
def test_raw_kinds_bear_the_hard_texts_as_the_library_does(name, text):
    """Ids and texts, with markers and without."""
    agree(name, text)
    agree(name, f"{text}<s>{text} <image>{text}<unk> {text}")


@oracle
@EVERY
@given(
    text=st.lists(unicode_texts | st.sampled_from([*MARKERS, "  ", "<0x41>", "＜s＞"]))
)
def test_raw_kinds_give_the_librarys_ids_of_any_text(name, text):
    """Any text whose characters both know, with markers in it."""
    agree(name, "".join(text))
