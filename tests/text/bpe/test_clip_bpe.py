"""CLIP's byte-pair encoding in plain Python: small letters, and where words end."""

import copy
import json
import unicodedata

import numpy as np
import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from refvlm.text import Tokenizer, TokenizerError, load_tokenizer, save_tokenizer
from refvlm.text.bpe.clip_bpe import CLIPBPE, clip_words
from refvlm.text.bpe.learning import learn_clip_bpe
from refvlm.text.engines.plain import PlainEngine

from ...spec import contract, example, law, oracle
from ..hard_texts import HARD, LONG, NO_TEXTS, unicode_texts
from ..vocabulary import CLIP_MARKERS, learn_clip, write_family

CORPUS = [
    "A large RED circle to the left of a small blue square.",
    "what colour is the circle? it's red, isn't it?",
    "naïve façade, 数学 123 🙂\n\n  indented\ttext",
] * 3
LEARNT = learn_clip_bpe(CORPUS, 600)
LIBRARY = Tokenizer(tokenizers.Tokenizer.from_str(json.dumps(LEARNT.describe())))
NO_SPACES = str.maketrans("", "", "\t\n\v\f\r\x85")
MARKED = st.lists(
    st.sampled_from([*CLIP_MARKERS, "<|EndOfText|>", "<|", "!", "</w>"])
    | unicode_texts,
    max_size=5,
).map("".join)


@example
def test_clip_bpe_ends_words():
    """`red` as a word and `red` at the beginning of one are two tokens."""
    assert LEARNT.tokens("Red  REDCIRCLE") == ["red</w>", "r", "e", "d", "circle</w>"]
    assert LEARNT.decode(LEARNT.encode("The RED\n circle's")) == "the red circle 's"


@example
def test_clip_bpe_numbers_bytes_ends_merges_markers():
    """0 to 255 within a word, 256 to 511 at its end, and the markers last."""
    tokens = list(LEARNT.vocabulary)
    assert tokens[:2] == ["!", '"'] and tokens[256:258] == ["!</w>", '"</w>']
    assert tokens[512] == "".join(LEARNT.merges[0])
    assert tokens[-2:] == CLIP_MARKERS


@law
@given(unicode_texts)
def test_clip_bpe_loses_capitals_and_spaces_alone(text):
    """Decoded, it is the words in small letters, a space between each two."""
    decoded = LEARNT.decode(LEARNT.encode(text, markers=False))
    assert decoded == " ".join(clip_words(text))
    small = "".join(c.lower() for c in unicodedata.normalize("NFC", text))
    kept = [c for c in small if unicodedata.category(c)[0] != "Z"]
    assert "".join(clip_words(text)) == "".join(kept).translate(NO_SPACES)


@oracle
@given(MARKED, st.booleans())
def test_clip_bpe_gives_the_ids_of_the_library(text, markers):
    """The same ids and the same text as `tokenizers`, with markers in it, both ways."""
    ids = LEARNT.encode(text, markers)
    assert ids == LIBRARY.encode(text, markers)
    assert LEARNT.decode(ids) == LIBRARY.decode(ids)


@oracle
@pytest.mark.parametrize("text", HARD.values(), ids=HARD)
def test_clip_bpe_bears_what_the_library_bears(text):
    """Every text of the hard list, also with markers inside."""
    for whole in (text, f"{text}<|endoftext|>{text} <|startoftext|>!"):
        for markers in (True, False):
            ids = LEARNT.encode(whole, markers)
            assert ids == LIBRARY.encode(whole, markers)
            assert LEARNT.decode(ids) == LIBRARY.decode(ids)


@oracle
@pytest.mark.parametrize("name", LONG)
def test_clip_bpe_bears_a_megabyte_in_one_word(name):
    """In a moment, and as the library has it."""
    text = LONG[name][: len(LONG[name]) // 8]
    assert LEARNT.encode(text) == LIBRARY.encode(text)


@oracle
@given(st.lists(st.integers(0, len(LEARNT) - 1), max_size=20))
def test_clip_bpe_decodes_as_the_library_does(ids):
    """Any ids, also where their bytes are no UTF-8, or a word has no end."""
    assert LEARNT.decode(ids) == LIBRARY.decode(ids)


TEXTS = [*HARD.values(), *CORPUS[:3], "<|startoftext|>a<|endoftext|>!! <|ENDOFTEXT|>"]


@oracle
def test_clip_bpe_equals_transformers(tmp_path, compare):
    """CLIPTokenizer, from vocab.json and merges.txt that it was given; and our engine
    reads the tokenizer.json that transformers saves."""
    vocabulary, merges = learn_clip()
    directory = write_family(tmp_path / "a", "CLIPTokenizer", vocabulary, merges)

    def ask(torch):
        import transformers

        theirs = transformers.CLIPTokenizer.from_pretrained(directory)
        theirs.save_pretrained(tmp_path / "b")
        saved = (tmp_path / "b" / "tokenizer.json").read_bytes()
        ids = [i for text in TEXTS for i in theirs(text)["input_ids"]]
        return {"ids": np.array(ids), "saved": np.frombuffer(saved, np.uint8)}

    answers = compare.answers(ask, (TEXTS, vocabulary))
    read = load_tokenizer(directory)
    saved = PlainEngine.from_json(answers["saved"].tobytes().decode(), "saved")
    for engine in (Tokenizer(saved), read):
        before, after = engine.frame
        rows = [[*before, *engine.encode(text), *after] for text in TEXTS]
        assert [i for row in rows for i in row] == answers["ids"].tolist()
    library = Tokenizer(tokenizers.Tokenizer.from_str(saved.to_json()))
    for text in TEXTS:
        ids = saved.encode(text, False)
        assert ids == library.encode(text, False)
        assert saved.decode(ids, True) == library.decode(ids)


@oracle
def test_clip_bpe_saved_is_read_by_transformers(tmp_path, compare):
    """AutoTokenizer opens what was saved, and gives the same ids."""
    save_tokenizer(tmp_path, Tokenizer.of(LEARNT, "ours"))

    def ask(torch):
        import transformers

        theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
        return {"ids": np.array([i for t in TEXTS for i in theirs(t)["input_ids"]])}

    answers = compare.answers(ask, (TEXTS, LEARNT.describe()))
    start, end = (LEARNT.vocabulary[name] for name in CLIP_MARKERS)
    rows = [[start, *LEARNT.encode(text), end] for text in TEXTS]
    assert [i for row in rows for i in row] == answers["ids"].tolist()


def changed(path, value):
    document = copy.deepcopy(LEARNT.describe())
    *above, last = path
    parent = document
    for step in above:
        parent = parent[step]
    parent[last] = value
    return document


BEYOND = {
    "capitals": (["normalizer", "normalizers", 2, "type"], "NFKC"),
    "no normal form": (["normalizer"], None),
    "another cut": (["pre_tokenizer", "pretokenizers", 0, "pattern", "Regex"], "\\s"),
    "another decoder": (["decoder"], {"type": "Metaspace"}),
    "dropout": (["model", "dropout"], 0.1),
    "a prefix": (["model", "continuing_subword_prefix"], "##"),
}


@contract
@pytest.mark.parametrize("what", BEYOND)
def test_clip_bpe_recommends_the_library(what):
    """What ours does not do is named, with the way to what does it."""
    with pytest.raises(TokenizerError, match=r"^here: its .*pip install tokenizers"):
        PlainEngine(changed(*BEYOND[what]), "here")


@contract
def test_clip_bpe_wants_all_bytes():
    """A byte that cannot end a word would be lost from some of them."""
    document = LEARNT.describe()
    numbers = document["model"]["vocab"]
    numbers["gone"] = numbers.pop("ÿ</w>")
    with pytest.raises(TokenizerError, match="here: its vocab has no 'ÿ</w>', nor 0"):
        PlainEngine(document, "here")


@contract
def test_clip_bpe_of_no_tokens_has_an_empty_text():
    """Without a vocabulary there is one text that can be written."""
    assert CLIPBPE({}, []).tokens("") == []


@contract
@pytest.mark.parametrize("text", NO_TEXTS, ids=repr)
def test_clip_bpe_refuses_what_is_no_text(text):
    """Half a character, bytes, a list: one sentence."""
    for markers in (True, False):
        with pytest.raises(TokenizerError, match="a text is a str|not valid Unicode"):
            LEARNT.encode(text, markers)
