"""The tokenizer: text to ids and back, with markers only where they are meant."""

import random
import unicodedata

import hypothesis
import numpy as np
import pytest
import tokenizers
from hypothesis import strategies as st

from refvlm.text import Tokenizer, TokenizerError, load_tokenizer

from ..spec import contract, example, law, oracle
from .vocabulary import MARKERS, learn, transformers_tokenizer, write_vocabulary

# Pieces in which pre-tokenisers differ: contractions, digits, runs of spaces, line
# ends of every kind, marks that combine, letters that fold, and pieces of markers.
PIECES = [
    *(
        "'s",
        "'Stable",
        "don't",
        "2026",
        "٣٤",
        "½",
        "  ",
        "   x",
        "\t",
        "\n",
        "\r\n",
        "\n\n ",
    ),
    *("\u2028", "\x85", "\xa0", "\u200b", "\ufeff", "e\u0301", "\u0301", "Å", "ﬁ", "İ"),
    *(
        "中文字",
        "日本",
        "한국어",
        "עברית",
        "العربية",
        "हिन्दी",
        "🐈",
        "👩\u200d🚀",
        "\U0010ffff",
    ),
    *(
        "\x00",
        "\x7f",
        "end.\n\n",
        "a_b",
        " $x$",
        " (",
        "Ġ",
        "Ċ",
        "the table",
        " cube",
        "user",
    ),
    *MARKERS,
    *("<|im_", "end|>", "<image", ">", "<|", "|>"),
]


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return write_vocabulary(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def tokenizer(directory):
    return load_tokenizer(directory)


texts = st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=8).map("".join)


@example
def test_tokenizer_splits_and_merges(tokenizer):
    """A word met often is one token with its space; a rare one is several."""
    vocabulary, _ = learn()
    assert tokenizer.encode(" table") == [vocabulary["Ġtable"]]
    assert len(tokenizer.encode("xyz")) == 3
    assert tokenizer.decode(tokenizer.encode("What is on the table?")) == (
        "What is on the table?"
    )


@example
def test_tokenizer_markers_are_single_tokens(tokenizer):
    """`<|im_end|>` is one id as a marker, and ten or so as text."""
    end = tokenizer.token_id("<|im_end|>")
    assert tokenizer.encode("<|im_end|>") == [end]
    assert end not in tokenizer.encode("<|im_end|>", markers=False)
    assert tokenizer.decode([end]) == "<|im_end|>"
    assert tokenizer.decode([end], markers=False) == ""
    assert tokenizer.markers["<|im_end|>"] == end
    assert len(tokenizer) == max(tokenizer.markers.values()) + 1


@law
@hypothesis.given(text=texts, markers=st.booleans())
def test_tokenizer_loses_nothing(tokenizer, text, markers):
    """Decoding what was encoded gives the text, in Unicode's composed form."""
    ids = tokenizer.encode(text, markers)
    parts = tokenizer.decode(ids)
    # Around a marker, the text on either side is composed on its own.
    if markers and any(name in text for name in MARKERS):
        parts, text = unicodedata.normalize("NFC", parts), text
    assert parts == unicodedata.normalize("NFC", text)


@law
@hypothesis.given(text=texts)
def test_tokenizer_plain_text_never_becomes_a_marker(tokenizer, text):
    """With markers=False there is no text whatever that yields a marker's id."""
    ids = tokenizer.encode(text, markers=False)
    assert not set(ids) & set(tokenizer.markers.values())
    if not any(name in text for name in MARKERS):
        assert ids == tokenizer.encode(text)


@law
@hypothesis.given(ids=st.lists(st.integers(0, 600), max_size=30))
def test_tokenizer_decodes_any_ids(tokenizer, ids):
    """A model may produce any id; those of padded rows stand for nothing."""
    known = [token_id for token_id in ids if token_id < len(tokenizer)]
    assert tokenizer.decode(ids) == tokenizer.decode(known)
    assert tokenizer.decode(np.array(ids, np.int64)) == tokenizer.decode(ids)


def nasty_texts(count, seed):
    """Texts from PIECES and from all of Unicode, the same on every machine."""
    rng = random.Random(seed)

    def character():
        ranges = ((0, 0x7F), (0x80, 0x24F), (0x300, 0x36F), (0x370, 0xD7FF))
        return chr(rng.randint(*rng.choice([*ranges, (0xE000, 0x10FFFF)])))

    def piece():
        return rng.choice(PIECES) if rng.random() < 0.7 else character()

    return ["".join(piece() for _ in range(rng.randrange(12))) for _ in range(count)]


@oracle
@pytest.mark.parametrize("markers", ["tokenizer_config", "added_tokens"])
def test_tokenizer_equals_transformers(tmp_path, compare, markers):
    """On any Unicode text, ids and text are those of transformers' Qwen2Tokenizer."""
    directory = write_vocabulary(tmp_path, markers=markers)
    texts = nasty_texts(400, seed=1)

    def ask(torch):
        theirs = transformers_tokenizer(directory)
        ids = [theirs(text).input_ids for text in texts]
        decoded = "\0".join(theirs.decode(row) for row in ids)
        return {
            "ids": np.array([i for row in ids for i in row], np.int64),
            "lengths": np.array([len(row) for row in ids], np.int64),
            "decoded": np.frombuffer(decoded.encode(), np.uint8),
        }

    expected = compare.answers(ask, texts)
    tokenizer = load_tokenizer(directory)
    ids = [tokenizer.encode(text) for text in texts]
    assert [len(row) for row in ids] == expected["lengths"].tolist()
    assert [i for row in ids for i in row] == expected["ids"].tolist()
    decoded = "\0".join(map(tokenizer.decode, ids))
    assert decoded.encode() == expected["decoded"].tobytes()


@contract
def test_tokenizer_names_an_absent_token(tokenizer):
    """A checkpoint without the token that is asked for is another checkpoint."""
    with pytest.raises(TokenizerError, match="no token '<start_of_turn>'"):
        tokenizer.token_id("<start_of_turn>")


@contract
@pytest.mark.parametrize("token_id", [-1, -200, 1 << 32, np.int64(-5)])
def test_tokenizer_refuses_what_is_no_id(tokenizer, token_id):
    """The sentinel for an image has no text; decoding it is a mistake."""
    with pytest.raises(TokenizerError, match="not a token id"):
        tokenizer.decode([1, token_id])


@contract
@pytest.mark.parametrize("text", ["\ud800", "a\udcff", "\udc80\ud800"])
def test_tokenizer_refuses_half_a_surrogate_pair(tokenizer, text):
    """Bytes on a command line that are not UTF-8 arrive so, and are no text."""
    for markers in (True, False):
        with pytest.raises(TokenizerError, match="not valid Unicode"):
            tokenizer.encode(text, markers)


@contract
def test_tokenizer_forgets_saved_truncation(directory):
    """A saved tokenizer may be set to cut and pad; a prompt is left whole."""
    backend = tokenizers.Tokenizer.from_str(load_tokenizer(directory).to_json())
    expected = backend.encode("What is on the table?").ids
    backend.enable_truncation(2)
    backend.enable_padding(length=64)
    assert Tokenizer(backend).encode("What is on the table?") == expected
