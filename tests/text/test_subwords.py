"""Markers and plain text: no text from outside becomes a marker, of any kind."""

import json

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm.text import (
    ByteLevelBPE,
    RawStreamBPE,
    Tokenizer,
    TokenizerError,
    Unigram,
    WordPiece,
    learn_byte_level,
    learn_clip_bpe,
    learn_raw_bpe,
    learn_unigram,
    learn_word_piece,
)
from refvlm.text.bpe.byte_level_bpe import GPT2BPE
from refvlm.text.description import added_token
from refvlm.text.engines.library import LibraryEngine
from refvlm.text.engines.plain import PlainEngine
from refvlm.text.raw_stream.stream import SENTENCE_PIECE

from ..spec import contract, example, law
from .hard_texts import unicode_texts

TEXTS = ["a red cube on a red table, a reader", "isn't it 12 cm? naïve 数学 <s> sep"]
NAMES = ["<s>", "</s>", "<|endoftext|>", "[SEP]"]
BYTES = learn_byte_level(TEXTS, 290, NAMES)
LEARNT = {
    "byte-level": BYTES,
    "GPT-2": GPT2BPE(BYTES.vocabulary, BYTES.merges, NAMES),
    "CLIP": learn_clip_bpe(TEXTS, 540, NAMES),
    "WordPiece": learn_word_piece(TEXTS, 100),
    "raw BPE": learn_raw_bpe(TEXTS, 80, ["<unk>", *NAMES], byte_fallback=False),
    "raw BPE of words": learn_raw_bpe(
        TEXTS, 330, ["<unk>", *NAMES], SENTENCE_PIECE, byte_fallback=True
    ),
    "unigram": learn_unigram(TEXTS, 60, ["<unk>", *NAMES]),
    "unigram with bytes": learn_unigram(
        TEXTS, 330, ["<unk>", *NAMES], byte_fallback=True
    ),
}
UNKNOWN = {"<unk>", "[UNK]"}


def both(subwords):
    """What our own engine and the library's make of it."""
    described = json.dumps(subwords.describe())
    ours, theirs = PlainEngine.from_json(described, ""), LibraryEngine
    return Tokenizer(ours), Tokenizer(theirs.from_json(described))


def wide(text):
    """The same letters in full width, which NFKC makes the usual ones."""
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


@example
def test_encode_knows_no_marker_in_plain_text():
    """Of two letters, one is a marker: it is unknown. With bytes, it is two bytes."""
    known = {"<unk>": 0, "§": 1, "▁": 2, "a": 3}
    bpe = RawStreamBPE(known, [], markers=["<unk>", "§"])
    for engine in (bpe, *both(bpe)):
        assert engine.encode("a§", markers=False) == [2, 3, 0]
        assert engine.encode("§", markers=True) == [1]
    learnt = learn_raw_bpe(["a"], 261, ["<unk>", "§"], byte_fallback=True)
    for engine in (learnt, *both(learnt)):
        tokens = [learnt.token_of[i] for i in engine.encode("a§", markers=False)]
        assert tokens == ["▁a", "<0xC2>", "<0xA7>"]


@example
def test_encode_cuts_a_word_that_is_a_marker():
    """A word that is spelled like a marker is pieces, or unknown."""
    tokens = ["[UNK]", "a", "sep", "s", "##e", "##p"]
    numbers = {token: number for number, token in enumerate(tokens)}
    pieces = WordPiece(numbers, ["[UNK]", "sep"])
    for engine in (pieces, *both(pieces)):
        assert engine.encode("a sep", markers=False) == [1, 3, 4, 5]
        assert engine.encode("a sep", markers=True) == [1, 2]
    few = WordPiece({"[UNK]": 0, "a": 1, "sep": 2}, ["sep"])
    for engine in (few, *both(few)):
        assert engine.encode("a sep", markers=False) == [1, 0]


@example
def test_encode_cuts_a_marker_that_a_normal_form_makes():
    """`＜s＞` is `<s>` in NFKC, a piece with the score 0, and yet is spelled out."""
    scores = {"<unk>": 0, "<s>": 0, "▁": -2, "<": -3, "s": -3, ">": -3, "s>": -4}
    unigram = Unigram(scores, markers=["<unk>", "<s>"])
    for engine in (unigram, *both(unigram)):
        assert engine.encode("<s>＜s＞", markers=False) == [2, 3, 6, 3, 6]


@example
def test_encode_takes_a_marker_beyond_the_vocabulary_for_no_piece():
    """BERT's own words are cut by its own pieces, whatever was added by name."""
    known = {"[UNK]": 0, "co": 1, "##vi": 2, "##d": 3}
    pieces = WordPiece(known, ["covid"], {"covid": 4})
    for engine in (pieces, *both(pieces)):
        assert engine.encode("Covid covid", markers=True) == [1, 2, 3, 4]
        assert engine.encode("Covid covid", markers=False) == [1, 2, 3, 1, 2, 3]


@law
@pytest.mark.parametrize("kind", LEARNT)
@hypothesis.settings(deadline=None)
@given(st.data())
def test_encode_makes_no_marker_of_plain_text(kind, data):
    """Whatever pieces are declared to be markers, none comes out of a text that has
    them, in whole, in part or in full width; and the library is held to the same."""
    learnt = LEARNT[kind]
    pieces = st.sampled_from(sorted(learnt.vocabulary))
    declared = data.draw(st.lists(pieces, max_size=8, unique=True))
    document = learnt.describe()
    for name in declared:
        if name not in learnt.markers:
            added = added_token(learnt.vocabulary[name], name)
            document["added_tokens"].append(added)
    document["added_tokens"].sort(key=lambda marker: marker["id"])
    names = {marker["content"] for marker in document["added_tokens"]}
    named = st.sampled_from(sorted(names)) if names else pieces
    spelled = (named | pieces).map(lambda name: name.replace("▁", " "))
    parts = spelled | spelled.map(wide) | spelled.map(lambda name: name[:-1])
    text = "".join(data.draw(st.lists(parts | unicode_texts, max_size=6)))

    described, found = json.dumps(document), []
    ours, theirs = PlainEngine.from_json(described, ""), LibraryEngine
    for engine in (ours, theirs.from_json(described)):
        try:
            ids = Tokenizer(engine).encode(text, markers=False)
        except TokenizerError as problem:
            assert "the only way to write" in str(problem)
            ids = None
        else:
            assert not {learnt.token_of[i] for i in ids} & names - UNKNOWN
        found.append(ids)
    # Where some bytes have tokens and some have none, the library mixes their order up.
    if not any(name.startswith("<0x") for name in declared):
        assert found[0] == found[1]


@contract
def test_encode_refuses_what_only_a_marker_can_write():
    """Where a byte's one token is a marker, there is no plain way to write it."""
    tokens = BYTES.vocabulary
    for made in (
        ByteLevelBPE(tokens, BYTES.merges, ["!"]),
        GPT2BPE(tokens, BYTES.merges, ["!"]),
    ):
        for engine in (made, *both(made)):
            assert engine.decode(engine.encode("stop", markers=False)) == "stop"
            assert engine.encode("!", markers=True) == [tokens["!"]]
            with pytest.raises(TokenizerError, match="'!' is the only way to write"):
                engine.encode("stop!", markers=False)
