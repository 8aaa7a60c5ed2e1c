"""WordPiece of our own: what is learnt from texts, and what its ids are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm import text
from refvlm.text.word_piece.learning import count_words, learn_word_piece
from refvlm.text.word_piece.pieces import join

from ...spec import contract, example, law
from .test_bert_words import texts

CORPUS = ["a large red circle", "what colour is the circle? it's red, isn't it?"] * 3


@example
def test_train_word_piece_makes_words_of_what_it_saw():
    """With room enough, every word of the corpus is one token."""
    tokenizer = text.train_word_piece(CORPUS, 500)
    ids = tokenizer.encode("The colour is RED")
    assert [tokenizer.decode([i]) for i in ids] == ["the", "colour", "is", "red"]


@example
def test_train_word_piece_numbers_markers_letters_merges():
    """The markers are 0 to 4, then come letters, then letters inside, then pieces."""
    learnt = learn_word_piece(["hug hugs pug"], 16)
    assert list(learnt.vocabulary) == [
        *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
        *("g", "h", "p", "s", "u", "##g", "##h", "##p", "##s", "##u"),
        "##ug",
    ]
    tokenizer = text.train_word_piece(["hug hugs pug"], 16)
    assert tokenizer.frame == ([2], [3])


@law
@given(st.lists(texts, max_size=4), st.integers(0, 30))
def test_learn_word_piece_learns_the_merges_of_its_words(strings, more):
    """The last tokens are what `wordpiece_train` joins, of the words that BERT cuts."""
    counts = count_words(strings)
    letters = len(set().union(*counts))
    learnt = learn_word_piece(strings, 5 + 2 * letters + more)
    made = [join(pair) for pair in text.wordpiece_train_by_definition(counts, more)]
    assert list(learnt.vocabulary)[5 + 2 * letters :] == made


@law
@given(st.permutations(CORPUS))
def test_learn_word_piece_does_not_mind_the_order(strings):
    """Only how often each word occurs counts."""
    learnt = learn_word_piece(strings, 90).vocabulary
    assert learnt == learn_word_piece(CORPUS, 90).vocabulary


@law
def test_learn_word_piece_learns_nothing_from_markers():
    """A marker parts two texts, and its letters are not learnt from."""
    marked = learn_word_piece(["red[SEP]blue [MASK] red"], 60)
    assert marked.vocabulary == learn_word_piece(["red", "blue red"], 60).vocabulary


@contract
def test_learn_word_piece_needs_room_for_the_letters():
    """Every letter is two tokens, and half a token cannot be."""
    with pytest.raises(ValueError, match="2 letters .* are 9 tokens already"):
        learn_word_piece(["ab"], 8)
    with pytest.raises(ValueError, match="must be a whole number"):
        learn_word_piece(["ab"], 300.5)


@contract
def test_learn_word_piece_learns_nothing_from_nothing():
    """No texts, empty ones, one character, and a word that is too long to be one."""
    for strings in ([], [""], [" \n"], ["b" * 1_000_000]):
        assert len(learn_word_piece(strings, 100)) == 5
    assert len(learn_word_piece(["a"], 100)) == 7


@contract
@pytest.mark.parametrize(
    ("strings", "problem"),
    [
        ([b"a"], "a text is a str, not bytes"),
        ([None], "a text is a str, not NoneType"),
        ("one text", "texts is a list, even of one"),
        (b"bytes", "texts is a list, even of one"),
        (["a\ud800"], "not valid Unicode"),
    ],
)
def test_learn_word_piece_refuses_what_is_no_text(strings, problem):
    """One str is many texts of one letter: a slip that would train on nothing."""
    with pytest.raises(ValueError, match=problem):
        learn_word_piece(strings, 300)


@contract
@pytest.mark.parametrize(
    ("markers", "problem"),
    [
        ("[UNK]", "must be a list of names"),
        (["[UNK]", ""], "must be a list of names"),
        (["[UNK]", "[UNK]"], "two markers are the same"),
        (["[PAD]"], "must have '\\[UNK\\]'"),
        (["[UNK]", "##ed"], "the marker '##ed' is how a piece of a word is spelled"),
        (["[UNK]", "red"], "the marker 'red' is a word that a text may say"),
        (["[UNK]", "##d"], "the marker '##d' is how a piece"),
    ],
)
def test_learn_word_piece_refuses_markers_that_text_could_spell(markers, problem):
    """An id is a marker's or a piece's, never both."""
    with pytest.raises(ValueError, match=problem):
        learn_word_piece(["bed red bled"], 300, markers)
