"""Tokenizers of our own: what is learnt from texts, and what its ids are."""

import json
import unicodedata

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex, models, normalizers, pre_tokenizers, trainers

from refvlm import text
from refvlm.text.bpe.byte_pairs import bpe_train_by_definition
from refvlm.text.bpe.clip_bpe import clip_words, spell
from refvlm.text.bpe.description import QWEN2_WORDS
from refvlm.text.bpe.learning import CLIP_MARKERS, learn_byte_level, learn_clip_bpe

from ...spec import contract, example, law, oracle
from ..hard_texts import unicode_texts

CORPUS = [
    "a large red circle to the left of a small blue square.",
    "what colour is the circle? it's red, isn't it?",
    "naïve façade, 数学 123 🙂\n\n  indented\ttext",
] * 3
TOKENIZER = text.train_byte_level(CORPUS, 330)
PLAIN = learn_byte_level(CORPUS, 330)


@example
def test_train_byte_level_makes_words_of_what_it_saw_often():
    """With room enough, every word of the corpus is one token, its space in it."""
    tokenizer = text.train_byte_level(["red circle red circle"], 300)
    pieces = [tokenizer.bytes_of(i) for i in tokenizer.encode("red circle red")]
    assert pieces == [b"red", b" circle", b" red"]


@example
def test_train_byte_level_numbers_markers_bytes_merges():
    """The markers are 0 to 3, then come 256 bytes, then the merges."""
    assert [TOKENIZER.token_id(marker) for marker in text.MARKERS] == [0, 1, 2, 3]
    assert TOKENIZER.bytes_of(4) == b"!"
    assert sorted(TOKENIZER.bytes_of(i)[0] for i in range(4, 260)) == list(range(256))
    assert len(TOKENIZER) == 330
    assert len(TOKENIZER.bytes_of(260)) == 2


@example
def test_train_byte_level_frames_a_question_in_few_tokens():
    """The frame's words, met in training, are a token each; the question is plain."""
    frame = f"system\n{text.DEFAULT_SYSTEM}", "user\n", "assistant\n"
    tokenizer = text.train_byte_level([*frame * 9, *CORPUS], 360)
    ids = text.encode_chat(tokenizer, "what is red?<|im_end|>")
    assert len(text.encode_chat(tokenizer, "")) < 26
    assert ids.count(tokenizer.token_id("<|im_end|>")) == 2
    assert ids.count(text.IMAGE_SENTINEL) == 1


@law
@given(unicode_texts)
def test_train_byte_level_loses_nothing(string):
    """Decoding gives back every text, to the last character, in composed form."""
    ids = TOKENIZER.encode(string, markers=False)
    assert TOKENIZER.decode(ids) == unicodedata.normalize("NFC", string)


@law
@given(unicode_texts, st.booleans())
def test_train_byte_level_gives_the_ids_of_its_merges(string, markers):
    """The library, given what was learnt, finds the ids that plain Python finds."""
    assert TOKENIZER.encode(string, markers) == PLAIN.encode(string, markers)


@law
@given(st.permutations(CORPUS))
def test_train_byte_level_does_not_mind_the_order(texts):
    """Only how often each word occurs counts."""
    assert learn_byte_level(texts, 330).merges == PLAIN.merges


@law
def test_train_byte_level_learns_nothing_from_markers():
    """A marker parts two texts, so a chat teaches what its turns say, and no more."""
    chat = ["<|im_start|>user\nred<|im_end|>\n<image>red"]
    turns = ["user\nred", "\n", "red"]
    assert learn_byte_level(chat, 300).merges == learn_byte_level(turns, 300).merges


@law
@given(st.lists(unicode_texts, max_size=4), st.integers(0, 20))
def test_learn_clip_bpe_learns_the_merges_of_its_words(texts, merges):
    """From words whose last byte is marked, by byte-pair encoding's definition."""
    counts = {}
    for string in texts:
        for word in clip_words(string):
            counts[tuple(spell(word))] = counts.get(tuple(spell(word)), 0) + 1
    learnt = learn_clip_bpe(texts, 512 + merges, [])
    assert learnt.merges == bpe_train_by_definition(counts, merges)


def trained_by_the_library(texts, size):
    backend = tokenizers.Tokenizer(models.BPE())
    backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2_WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=["<pad>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    return json.loads(backend.to_str())["model"]


@oracle
@given(st.lists(unicode_texts, min_size=1, max_size=6), st.integers(257, 300))
def test_train_byte_level_learns_what_the_library_learns(texts, size):
    """The same vocabulary, ids and merges as `tokenizers`, from any texts."""
    ours = learn_byte_level([t.replace("<pad>", "") for t in texts], size, ["<pad>"])
    theirs = trained_by_the_library(texts, size)
    assert ours.vocabulary == theirs["vocab"]
    assert ours.merges == [tuple(pair) for pair in theirs["merges"]]


@contract
def test_train_byte_level_needs_room_for_the_bytes():
    """Fewer than 256 tokens and the markers cannot be; nor can half of one."""
    with pytest.raises(ValueError, match="260 tokens already"):
        text.train_byte_level(["a"], 259)
    with pytest.raises(ValueError, match="must be a whole number"):
        text.train_byte_level(["a"], 300.5)


@contract
def test_train_byte_level_learns_nothing_from_nothing():
    """No texts, or empty ones: the bytes and the markers alone, which is enough."""
    for texts in ([], [""], ["a", "b"]):
        tokenizer = text.train_byte_level(texts, 300)
        assert len(tokenizer) == 260
        assert tokenizer.decode(tokenizer.encode("naïve")) == "naïve"


@contract
@pytest.mark.parametrize(
    ("texts", "problem"),
    [
        ([b"a"], "a text is a str, not bytes"),
        ([None], "a text is a str, not NoneType"),
        ("one text", "texts is a list, even of one"),
        (["a\ud800"], "not valid Unicode"),
    ],
)
def test_train_byte_level_refuses_what_is_no_text(texts, problem):
    """One str is many texts of one letter: a slip that would train on nothing."""
    with pytest.raises(ValueError, match=problem):
        text.train_byte_level(texts, 300)


@contract
@pytest.mark.parametrize(
    ("markers", "problem"),
    [
        ("<pad>", "must be a list of names"),
        ([""], "must be a list of names"),
        (["<pad>", "<pad>"], "two markers are the same"),
        (["Ġ"], "a byte's character"),
        (["Ġred"], "the marker 'Ġred' is how a word of the texts is spelled"),
    ],
)
def test_train_byte_level_refuses_markers_that_text_could_spell(markers, problem):
    """An id is a marker's or a word's, never both."""
    with pytest.raises(ValueError, match=problem):
        text.train_byte_level(["a red red red"], 300, markers)


@contract
def test_learn_clip_bpe_refuses_what_it_cannot_learn_from():
    """Too little room, one str, bytes, markers that a text could spell."""
    for texts in ([], [""], [" "], ["a"]):
        assert len(learn_clip_bpe(texts, 700)) == 514
    for texts, size, markers, problem in [
        (["a"], 513, CLIP_MARKERS, "are 514 tokens already"),
        (["a"], 600.5, CLIP_MARKERS, "must be a whole number"),
        ("a", 600, CLIP_MARKERS, "texts is a list"),
        ([b"a"], 600, CLIP_MARKERS, "a text is a str, not bytes"),
        (["a\ud800"], 600, CLIP_MARKERS, "not valid Unicode"),
        (["a"], 600, "<a>", "must be a list of names"),
        (["a"], 600, ["<a>", "<a>"], "two markers are the same"),
        (["a"], 600, ["b</w>"], "a byte's character"),
        (["red red"], 600, ["red</w>"], "is how a word of the texts is spelled"),
    ]:
        with pytest.raises(ValueError, match=problem):
            learn_clip_bpe(texts, size, markers)
