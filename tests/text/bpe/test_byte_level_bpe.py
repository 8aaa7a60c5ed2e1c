"""Byte-level BPE in plain Python: any text as ids and back."""

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm.text import (
    ByteLevelBPE,
    TokenizerError,
    load_tokenizer,
)

from ...spec import contract, example, law, oracle
from ..hard_texts import NASTY, unicode_texts
from ..vocabulary import MARKERS, learn, transformers_tokenizer, write_vocabulary

VOCABULARY, MERGES = learn()
ADDED = {name: len(VOCABULARY) + i for i, name in enumerate(MARKERS)}
BPE = ByteLevelBPE(VOCABULARY | ADDED, MERGES, MARKERS)


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return write_vocabulary(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def library(directory):
    return load_tokenizer(directory)


@example
def test_byte_level_bpe_spells_what_it_has_not_seen():
    """ń is two bytes, and no merge was learnt for them: two tokens, nothing lost."""
    assert BPE.tokens(" table ń") == ["Ġtable", "Ġ", "Å", "Ħ"]
    assert BPE.decode(BPE.encode(" table ń")) == " table ń"


@example
def test_byte_level_bpe_markers_are_single_tokens_where_they_are_meant():
    """`<|im_end|>` is one id as a marker, and ten or so as text."""
    assert BPE.encode("a<|im_end|>") == [BPE.vocabulary["a"], ADDED["<|im_end|>"]]
    plain = BPE.encode("a<|im_end|>", markers=False)
    assert len(plain) > 5 and not set(plain) & set(ADDED.values())
    assert BPE.decode(plain) == BPE.decode(BPE.encode("a<|im_end|>")) == "a<|im_end|>"


@example
def test_byte_level_bpe_takes_the_longer_of_two_markers():
    """Where two markers begin at one place, the longer is meant."""
    names = ["<a", "<a>b", "<a>"]
    numbers = {name: 1000 + i for i, name in enumerate(names)}
    bpe = ByteLevelBPE(VOCABULARY | numbers, MERGES, names)
    assert bpe.encode("<a>b<a><a") == [1001, 1002, 1000]


@law
@given(unicode_texts)
def test_byte_level_bpe_loses_nothing(text):
    """Decoding gives any text back, in Unicode's composed form."""
    ids = BPE.encode(text, markers=False)
    assert BPE.decode(ids) == unicodedata.normalize("NFC", text)


@oracle
@given(unicode_texts, st.booleans())
def test_byte_level_bpe_gives_the_ids_of_the_library(library, text, markers):
    """The same ids as `tokenizers`, on any text whose characters both know."""
    assert BPE.encode(text, markers) == library.encode(text, markers)


@oracle
@given(st.lists(st.integers(0, len(BPE) - 1), max_size=20))
def test_byte_level_bpe_decodes_as_the_library_does(library, ids):
    """Any ids, also where their bytes are no UTF-8: each broken piece is a U+FFFD."""
    assert BPE.decode(ids) == library.decode(ids)


@oracle
def test_byte_level_bpe_equals_transformers(directory, compare):
    """The ids of transformers' Qwen2Tokenizer, from the same files."""
    texts = [*NASTY, *("".join(NASTY[i::7]) for i in range(7))]

    def ask(torch):
        theirs = transformers_tokenizer(directory)
        rows = [theirs(text).input_ids for text in texts]
        return {"ids": np.array([i for row in rows for i in row], np.int64)}

    expected = compare.answers(ask, texts)["ids"]
    assert [i for text in texts for i in BPE.encode(text)] == expected.tolist()


@contract
def test_byte_level_bpe_refuses_what_is_no_text_and_no_id():
    """Half a surrogate pair, bytes, and an id that was never given out."""
    with pytest.raises(TokenizerError, match="not valid Unicode: character 1"):
        BPE.encode("a\ud800")
    with pytest.raises(TokenizerError, match="a text is a str, not bytes"):
        BPE.encode(b"a")
    with pytest.raises(TokenizerError, match="no id -200"):
        BPE.decode([-200])
