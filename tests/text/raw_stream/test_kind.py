"""Unigram and BPE on a raw stream: the ids and the texts of the tokenizers library."""

import copy
import json
import time

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm.text import (
    RawStream,
    Tokenizer,
    TokenizerError,
    learn_raw_bpe,
    learn_unigram,
    load_tokenizer,
    save_tokenizer,
    train_raw_bpe,
    train_unigram,
)
from refvlm.text.engines.library import LibraryEngine
from refvlm.text.engines.plain import PlainEngine
from refvlm.text.raw_stream.spelled_bytes import BYTE_TOKENS
from refvlm.text.raw_stream.stream import SPELLED

from ...spec import contract, example, law, oracle
from ..hard_texts import HARD, LONG, NASTY, NO_TEXTS, unicode_texts
from .files import FILES, MARKERS, TEXTS, agree, document, engines

EVERY = pytest.mark.parametrize("name", FILES)


@example
def test_raw_kinds_on_a_word_that_nobody_saw():
    """One knows pieces of it, one its letters; the emoji is bytes, or unknown."""
    by_bytes = learn_raw_bpe(["low lower lowest"] * 3, 272)
    assert by_bytes.tokens("lowest slow") == ["▁lowe", "st", "▁", "s", "lo", "w"]
    assert by_bytes.tokens("🙂") == ["▁", "<0xF0>", "<0x9F>", "<0x99>", "<0x82>"]
    by_unk = learn_unigram(["low lower lowest"] * 3, 16)
    assert by_unk.tokens("slow 🙂🙂") == ["▁", "s", "l", "o", "w", "▁", "<unk>"]


@law
@EVERY
def test_raw_kinds_let_no_text_become_a_marker(name):
    """Not even where markers are pieces, and a normal form spells them."""
    ours, theirs = engines(name)
    stands_for_unknown = {ours.markers.get("<unk>"), ours.markers.get("redcube")}
    found = {
        tokenizer: tokenizer.encode("<s> a<s>b＜s＞</s><image><<s>><pad>", False)
        for tokenizer in (ours, theirs)
    }
    special = set(ours.markers.values()) - stands_for_unknown
    for ids in found.values():
        assert not special & set(ids)


@law
@pytest.mark.parametrize("name", ["LLaMA", "LLaMA, newer", "LLaMA, library's"])
@given(text=unicode_texts)
def test_raw_kinds_with_bytes_lose_nothing(name, text):
    """Whatever the text, but for the visible space itself; the newer way takes one
    space in front for its own."""
    ours, _ = engines(name)
    text = text.replace("▁", "_")
    text = text.lstrip(" ") if "newer" in name else text
    assert ours.decode(ours.encode(text, markers=False)) == text


@law
@given(text=unicode_texts)
def test_raw_stream_bpe_of_a_text_is_that_of_its_words(text):
    """No merge reaches over a space, so one long word is cut as many short ones."""
    whole, cut = (
        learn_raw_bpe(
            TEXTS, 520, MARKERS, RawStream(prefix="first", cut=cut, decoding=SPELLED)
        )
        for cut in (False, True)
    )
    assert whole.tokens(text) == cut.tokens(text)


@law
@EVERY
def test_raw_kinds_write_the_file_that_they_read(name):
    """Nothing is lost on the way through our engine."""
    ours, _ = engines(name)
    assert json.loads(ours.to_json()) == document(name)


@oracle
@EVERY
def test_raw_kinds_bear_the_hard_texts_as_the_library_does(name):
    """Ids and texts, with markers and without."""
    for text in [*HARD.values(), *NASTY, "".join(NASTY), "x  y", "redcube  x y<plain>"]:
        agree(engines(name), text)
        agree(engines(name), f"{text}<s>{text} <image>{text}<unk> {text}redcube x y")


@oracle
@EVERY
@given(
    text=st.lists(
        unicode_texts
        | st.sampled_from(
            [*MARKERS, "  ", "<0x41>", "＜s＞", "x y", "redcube", "<pad>"]
        )
    )
)
def test_raw_kinds_give_the_librarys_ids_of_any_text(name, text):
    """Any text whose characters both know, with markers in it."""
    agree(engines(name), "".join(text))


@oracle
@EVERY
@given(ids=st.lists(st.integers(0, 530), max_size=12), markers=st.booleans())
def test_raw_kinds_decode_as_the_library_does(name, ids, markers):
    """Any ids: bytes that are no text, markers left out, ids that stand for nothing."""
    ours, theirs = engines(name)
    assert ours.decode(ids, markers) == theirs.decode(ids, markers)


@oracle
@EVERY
def test_raw_kinds_know_what_the_library_knows(name):
    """The same size, markers, frame, and name of each id."""
    ours, theirs = engines(name)
    assert len(ours) == len(theirs)
    assert ours.markers == theirs.markers
    assert ours.frame == theirs.frame
    for token_id in range(len(ours) + 2):
        assert ours.bytes_of(token_id) == theirs.bytes_of(token_id)


@oracle
@pytest.mark.parametrize("name", ["unigram, one word", "LLaMA"])
@pytest.mark.parametrize("long", ["words", "marks"])
def test_raw_kinds_bear_a_megabyte_in_one_word(name, long):
    """The library's ids, in seconds."""
    ours, theirs = engines(name)
    begun = time.monotonic()
    ids = ours.encode(LONG[long])
    text = ours.decode(ids)
    assert time.monotonic() - begun < 60
    assert ids == theirs.encode(LONG[long])
    assert text == theirs.decode(ids)


pieces = st.text("ab▁é", min_size=1, max_size=4)
scores = st.floats(-20, 5, allow_subnormal=False)


@oracle
@given(
    vocabulary=st.dictionaries(pieces, scores, min_size=1, max_size=9),
    unk=st.integers(0, 9),
    fallback=st.booleans(),
    text=st.text("ab é<unk>0x41", max_size=12),
)
@hypothesis.example(vocabulary={"a": -1.0}, unk=0, fallback=False, text="a<a a")
@hypothesis.example(vocabulary={"a": 5.0, "éé": -20.0}, unk=9, fallback=True, text="éé")
def test_unigram_of_any_vocabulary_is_the_librarys(vocabulary, unk, fallback, text):
    """Scores above 0, pieces whose letters are no pieces, any piece for the unknown."""
    rows = [*vocabulary.items(), ("<unk>", 0.0)]
    rows += [(name, -30.0) for name in BYTE_TOKENS] if fallback else []
    model = {"type": "Unigram", "unk_id": min(unk, len(vocabulary)), "vocab": rows}
    file = {**document("unigram"), "added_tokens": []}
    file["model"] = {**model, "byte_fallback": fallback}
    text_of_file = json.dumps(file)
    ours = Tokenizer(PlainEngine.from_json(text_of_file, "here"))
    agree((ours, Tokenizer(LibraryEngine.from_json(text_of_file))), text)


@oracle
@given(
    fused=st.booleans(),
    fallback=st.booleans(),
    text=st.text("ab éü", max_size=12),
)
def test_raw_stream_bpe_joins_the_unknown_as_the_library_does(fused, fallback, text):
    """Neighbours together, or each alone, or bytes."""
    file = copy.deepcopy(document("LLaMA"))
    vocabulary = [
        "<unk>",
        "▁",
        "a",
        "b",
        "ab",
        "▁a",
        *(BYTE_TOKENS if fallback else []),
    ]
    file["added_tokens"] = []
    file["model"] |= {
        "vocab": {token: number for number, token in enumerate(vocabulary)},
        "merges": [["a", "b"], ["▁", "a"]],
        "fuse_unk": fused,
        "byte_fallback": fallback,
    }
    ours = Tokenizer(PlainEngine(file, "here"))
    agree((ours, Tokenizer(LibraryEngine.from_json(json.dumps(file)))), text)


def plain_engine(text, origin="here"):
    return PlainEngine.from_json(text, origin)


@law
@pytest.mark.parametrize("train", [train_unigram, train_raw_bpe])
@pytest.mark.parametrize("engine", ["library", "plain"])
def test_raw_kinds_are_saved_and_loaded(tmp_path, monkeypatch, train, engine):
    """Trained, saved, opened by either engine: the same ids, framed or not."""
    if engine == "plain":
        for place in ("tokenizer", "loading"):
            monkeypatch.setattr(f"refvlm.text.{place}.open_engine", plain_engine)
    trained = train(TEXTS, 480, byte_fallback=True).framed("<s>", "</s>")
    save_tokenizer(tmp_path, trained)
    again = load_tokenizer(tmp_path)
    assert again.frame == ([1], [2]) and len(again) == 480
    for text in HARD.values():
        assert again.encode(text) == trained.encode(text)


@contract
@EVERY
def test_raw_kinds_refuse_what_is_no_text(name):
    """Halves of surrogate pairs, bytes, and what is no text at all."""
    kind = engines(name)[0]._engine.subwords
    for text in NO_TEXTS:
        for encode in (kind.encode, kind.tokens):
            with pytest.raises(TokenizerError, match="text is"):
                encode(text)
