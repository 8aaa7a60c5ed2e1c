"""BERT's tokenizer in plain Python: any text as ids and back."""

import copy
import json

import numpy as np
import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import decoders

from refvlm.text import (
    Tokenizer,
    TokenizerError,
    WordPiece,
    load_tokenizer,
    save_tokenizer,
    wordpiece_encode,
)
from refvlm.text.engines.plain import PlainEngine
from refvlm.text.word_piece.learning import learn_word_piece
from refvlm.text.word_piece.word_piece import MENDED

from ...spec import contract, example, house, law, oracle
from ..hard_texts import HARD, LONG, NO_TEXTS
from .test_bert_words import settled, texts

CORPUS = [
    "A large red circle to the left of a small blue square.",
    "What colour is the circle? It's red, isn't it? Don't they've said so?",
    "naïve façade, 数学 123 🙂\n\n  indented\ttext # ## end",
    "שלום हिन्दी 한국어 é ß İ",
]
LEARNT = learn_word_piece(CORPUS * 3, 260)
LIBRARY = tokenizers.Tokenizer.from_str(json.dumps(LEARNT.describe()))
THEIRS = Tokenizer(LIBRARY)
UNKNOWN = {"[UNK]": 0}  # a vocabulary without words
MARKED = st.lists(st.sampled_from(LEARNT.markers) | texts, max_size=5).map("".join)


@example
def test_word_piece_cuts_what_it_has_not_seen():
    """A word of known letters is spelled; one with a foreign letter is unknown."""
    assert LEARNT.tokens("Reds!") == ["red", "##s", "[UNK]"]
    assert LEARNT.tokens("reds, Ω") == ["red", "##s", ",", "[UNK]"]


@example
def test_word_piece_decodes_words_with_spaces_between():
    """Pieces are joined, and no space is left before a sign."""
    assert LEARNT.decode(LEARNT.encode("Isn't the circle red?")) == (
        "isn ' t the circle red?"
    )
    assert LEARNT.text_of(["##s", "##s", "do", "n't"]) == "##ss don't"


@law
@given(MARKED)
def test_word_piece_plain_text_never_becomes_a_marker(text):
    """With markers=False no text yields a marker, but for [UNK] of unknown words."""
    ids = set(LEARNT.encode(text, markers=False))
    markers = {LEARNT.vocabulary[name] for name in LEARNT.markers}
    assert ids & markers <= {LEARNT.vocabulary["[UNK]"]}


@law
@given(texts)
def test_word_piece_gives_its_own_words_back(text):
    """What was decoded is cut into the same tokens again, if all of it was known."""
    tokens = LEARNT.tokens(text)
    if "[UNK]" not in tokens:
        again = WordPiece(LEARNT.vocabulary, cleanup=False).text_of(tokens)
        assert LEARNT.tokens(again) == tokens


class Counted(dict):
    """A vocabulary that counts how often it is looked into."""

    looks = 0

    def __contains__(self, token):
        self.looks += 1
        return super().__contains__(token)


@house
@pytest.mark.parametrize("letter", ["a", "b"])
def test_word_piece_looks_no_further_than_its_longest_token(letter):
    """A word of n letters takes n looks for each letter of that, not n squared."""
    vocabulary = {"[UNK]": 0, "aaa": 1, "##a": 2, "##ab": 3}
    looks = []
    for n in (1000, 2000):
        pieces = WordPiece(vocabulary, longest_word=10**9)
        pieces.known = Counted(pieces.known)
        word = "a" * n + letter
        assert pieces.cut(word) == wordpiece_encode(
            word, vocabulary, longest_word=n + 1
        )
        looks.append(pieces.known.looks)
    assert looks[1] - looks[0] == 3 * 1000


@oracle
@given(MARKED, st.booleans())
def test_word_piece_gives_the_ids_of_the_library(text, markers):
    """The same ids as `tokenizers`, with markers in the text, both ways."""
    assert LEARNT.encode(text, markers) == THEIRS.encode(text, markers)


@oracle
@pytest.mark.parametrize("text", HARD.values(), ids=HARD)
def test_word_piece_bears_what_the_library_bears(text):
    """Every text of the hard list, also with markers inside; ids and text."""
    text = "".join(filter(settled, text))
    for whole in (text, f"{text}[MASK]{text} [SEP][CLS]"):
        for markers in (True, False):
            ids = LEARNT.encode(whole, markers)
            assert ids == THEIRS.encode(whole, markers)
            assert LEARNT.decode(ids) == THEIRS.decode(ids)


@oracle
@pytest.mark.parametrize("name", LONG)
def test_word_piece_bears_a_megabyte_in_one_word(name):
    """It is unknown; where each sign is a word, it is as many tokens."""
    text = LONG[name][: len(LONG[name]) // 8]
    assert LEARNT.encode(text) == THEIRS.encode(text)


@oracle
@given(st.lists(st.integers(0, len(LEARNT) - 1), max_size=20), st.booleans())
def test_word_piece_decodes_as_the_library_does(ids, cleanup):
    """Any ids, with and without the spaces before signs taken out."""
    pieces = WordPiece(LEARNT.vocabulary, LEARNT.markers, cleanup=cleanup)
    backend = tokenizers.Tokenizer.from_str(json.dumps(pieces.describe()))
    assert pieces.decode(ids) == backend.decode(ids, skip_special_tokens=False)


@oracle
@given(
    st.lists(
        st.sampled_from(
            [
                *("a", "b", ".", ",", "?", "!", "'", " ' ", ""),
                *("##a", "##.", "##", "####a", "##'s"),
                *("n't", "'s", "'ve", "'m", "'re", "do not", " do not"),
            ]
        ),
        max_size=8,
    ),
    st.booleans(),
)
def test_word_piece_decoder_mends_as_the_librarys(tokens, cleanup):
    """Contractions, signs, pieces at the beginning, and pieces of nothing."""
    ours = WordPiece(UNKNOWN, cleanup=cleanup).text_of(tokens)
    assert ours == decoders.WordPiece(cleanup=cleanup).decode(tokens)


@oracle
@pytest.mark.parametrize(("apart", "together"), MENDED)
def test_word_piece_decoder_knows_each_thing_to_mend(apart, together):
    """In the middle of a token, and where the space is the decoder's own."""
    tokens = ["a", f"b{apart}c", apart, apart.strip(), together]
    mended = WordPiece(UNKNOWN).text_of(tokens)
    assert mended == decoders.WordPiece().decode(tokens)
    assert mended != WordPiece(UNKNOWN, cleanup=False).text_of(tokens)


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """A directory as BERT's older checkpoints have it: vocab.txt, one token a line."""
    directory = tmp_path_factory.mktemp("bert")
    lines = "".join(f"{token}\n" for token in LEARNT.vocabulary)
    (directory / "vocab.txt").write_text(lines, encoding="utf-8")
    return directory


@oracle
@pytest.mark.parametrize(
    "config",
    [
        {},
        {"do_lower_case": False},
        {"strip_accents": False},
        {"tokenize_chinese_chars": False},
    ],
    ids=str,
)
def test_word_piece_equals_transformers(directory, tmp_path, compare, config):
    """BertTokenizer, from vocab.txt and what tokenizer_config.json says, frame and
    text included."""
    lines = (directory / "vocab.txt").read_bytes()
    (tmp_path / "vocab.txt").write_bytes(lines)
    config = {"tokenizer_class": "BertTokenizer", **config}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    asked = ["".join(filter(settled, hard)) for hard in HARD.values()]
    asked += [*CORPUS, "a [MASK] b[SEP]c [mask]"]

    def ask(torch):
        import transformers

        theirs = transformers.BertTokenizer.from_pretrained(tmp_path)
        rows = [theirs(string)["input_ids"] for string in asked]
        decoded = "\0".join(theirs.decode(row) for row in rows)
        return {
            "ids": np.array([i for row in rows for i in row], np.int64),
            "decoded": np.frombuffer(decoded.encode(), np.uint8),
        }

    answers = compare.answers(ask, (asked, lines.decode(), config))
    ours = load_tokenizer(tmp_path)
    before, after = ours.frame
    rows = [[*before, *ours.encode(string), *after] for string in asked]
    assert [i for row in rows for i in row] == answers["ids"].tolist()
    decoded = "\0".join(map(ours.decode, rows))
    assert decoded.encode() == answers["decoded"].tobytes()


@oracle
def test_word_piece_saved_is_read_by_transformers(tmp_path, compare):
    """AutoTokenizer and BertTokenizer open what was saved, with the roles of its
    markers, and give the same ids."""
    save_tokenizer(tmp_path, Tokenizer.of(LEARNT, "ours"))
    asked = [*CORPUS, "a [MASK] b"]

    def ask(torch):
        import transformers

        answers = {}
        for name in ("AutoTokenizer", "BertTokenizer"):
            theirs = getattr(transformers, name).from_pretrained(tmp_path)
            rows = [theirs(string)["input_ids"] for string in asked]
            answers[name] = np.array([i for row in rows for i in row], np.int64)
            roles = [theirs.unk_token_id, theirs.cls_token_id, theirs.sep_token_id]
            roles += [theirs.pad_token_id, theirs.mask_token_id]
            answers[f"{name}.roles"] = np.array(roles, np.int64)
        return answers

    answers = compare.answers(ask, (asked, LEARNT.describe()))
    rows = [[2, *LEARNT.encode(string), 3] for string in asked]
    flat = [i for row in rows for i in row]
    for name in ("AutoTokenizer", "BertTokenizer"):
        assert answers[name].tolist() == flat
        assert answers[f"{name}.roles"].tolist() == [1, 2, 3, 0, 4]


@oracle
@pytest.mark.parametrize("engine", ["plain", "library"])
def test_word_piece_reads_what_the_librarys_trainer_made(tmp_path, monkeypatch, engine):
    """A BertWordPieceTokenizer, trained and saved by `tokenizers`."""
    if engine == "plain":
        monkeypatch.setattr("refvlm.text.loading.open_engine", PlainEngine.from_json)
    made = tokenizers.BertWordPieceTokenizer(lowercase=False, clean_text=False)
    made.train_from_iterator(CORPUS, vocab_size=150, show_progress=False)
    made.save(str(tmp_path / "tokenizer.json"))
    ours = load_tokenizer(tmp_path)
    for text in map("".join, (filter(settled, hard) for hard in HARD.values())):
        ids = made.encode(text, add_special_tokens=False).ids
        assert ours.encode(text) == ids
        assert ours.decode(ids) == made.decode(ids, skip_special_tokens=False)


DOCUMENT = LEARNT.describe()


def changed(path, value):
    document = copy.deepcopy(DOCUMENT)
    *above, last = path
    parent = document
    for step in above:
        parent = parent[step]
    parent[last] = value
    return document


BEYOND = {
    "another normal form": (["normalizer", "type"], "NFC"),
    "an option more": (["normalizer", "strip_signs"], True),
    "another cut": (["pre_tokenizer", "type"], "Whitespace"),
    "no cut": (["pre_tokenizer"], None),
    "another decoder": (["decoder", "type"], "ByteLevel"),
    "another prefix": (["model", "continuing_subword_prefix"], "@@"),
    "another prefix to decode": (["decoder", "prefix"], "@@"),
    "a longest word that is none": (["model", "max_input_chars_per_word"], "100"),
    "an unknown token without id": (["model", "unk_token"], "<unk>"),
    "a token without end": (
        ["model"],
        DOCUMENT["model"]
        | {"max_input_chars_per_word": 513, "vocab": {"[UNK]": 0, "a" * 513: 1}},
    ),
    "a switch that is new": (["model", "dropout"], 0.1),
}


@contract
@pytest.mark.parametrize("what", BEYOND)
def test_word_piece_recommends_the_library(what):
    """What ours does not do is named, with the way to what does it."""
    with pytest.raises(TokenizerError, match=r"^here: its .*pip install tokenizers"):
        PlainEngine(changed(*BEYOND[what]), "here")


WRONG = {
    "no normal form": (["normalizer"], None),
    "an id twice": (["model", "vocab", "red"], 5),
    "a vocabulary that is a list": (["model", "vocab"], [["red", 1]]),
    "no unknown token": (["model", "unk_token"], None),
    "an option that is a text": (["normalizer", "lowercase"], "yes"),
    "half of a surrogate pair": (["model", "vocab", "\ud800"], 260),
}


@contract
@pytest.mark.parametrize("what", WRONG)
def test_word_piece_refuses_what_disagrees(what):
    """A damaged file is one sentence."""
    with pytest.raises(TokenizerError, match="^here: its "):
        PlainEngine(changed(*WRONG[what]), "here")


@contract
@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (b"", "an empty line"),
        (b"[UNK]\n[CLS]\n[SEP]\na\n\nb\n", "an empty line, or the same token twice"),
        (b"[UNK]\n[CLS]\n[SEP]\na\na\n", "the same token twice"),
        (b"[UNK]\n[CLS]\na\n", "no '\\[SEP\\]', without which it is not BERT's"),
        (b"\xff\xfe[\0", "UTF-8"),
    ],
)
def test_word_piece_refuses_a_bad_vocab_txt(tmp_path, lines, said):
    """A damaged list of tokens gives other ids to all that follow."""
    (tmp_path / "vocab.txt").write_bytes(lines)
    with pytest.raises(TokenizerError, match=said):
        load_tokenizer(tmp_path)


@contract
def test_word_piece_refuses_a_vocab_txt_of_another_class(directory, tmp_path):
    """Other classes have a vocab.txt, too, and another cut."""
    (tmp_path / "vocab.txt").write_bytes((directory / "vocab.txt").read_bytes())
    config = '{"tokenizer_class": "BertJapaneseTokenizer"}'
    (tmp_path / "tokenizer_config.json").write_text(config)
    with pytest.raises(TokenizerError, match="'BertJapaneseTokenizer', unknown here"):
        load_tokenizer(tmp_path)


@contract
def test_word_piece_refuses_a_vocab_txt_of_another_model(directory, tmp_path):
    """Where no class is named, config.json says whose list it is."""
    (tmp_path / "vocab.txt").write_bytes((directory / "vocab.txt").read_bytes())
    for kind in ("bert", "distilbert"):
        (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
        assert load_tokenizer(tmp_path).encode("red?") == LEARNT.encode("red?")
    (tmp_path / "config.json").write_text('{"model_type": "roformer"}')
    with pytest.raises(TokenizerError, match="config.json says 'roformer', unknown"):
        load_tokenizer(tmp_path)


@contract
def test_word_piece_takes_windows_line_ends(directory, tmp_path):
    """A vocab.txt that went through Windows is the same list."""
    lines = (directory / "vocab.txt").read_bytes().replace(b"\n", b"\r\n")
    (tmp_path / "vocab.txt").write_bytes(lines)
    assert load_tokenizer(tmp_path).encode("red?") == LEARNT.encode("red?")


@contract
def test_word_piece_needs_its_unknown_token():
    """Not at the first word that it cannot spell, but when it is made."""
    for vocabulary, unknown in (({}, "[UNK]"), ({"[UNK]": 0}, "<unk>")):
        with pytest.raises(ValueError, match="^WordPiece: no token is '"):
            WordPiece(vocabulary, unknown=unknown)
    beyond = WordPiece({"a": 0}, ["<unk>"], {"<unk>": 1}, unknown="<unk>")
    assert beyond.encode("a b") == [0, 1]


@contract
@pytest.mark.parametrize("text", NO_TEXTS, ids=repr)
def test_word_piece_refuses_what_is_no_text(text):
    """Half a character, bytes, a list: one sentence."""
    for markers in (True, False):
        with pytest.raises(TokenizerError, match="a text is a str|not valid Unicode"):
            LEARNT.encode(text, markers)
