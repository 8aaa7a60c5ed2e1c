"""Streaming: what is shown while the model speaks is what it will have said."""

import hypothesis
import pytest
import tokenizers
from hypothesis import strategies as st

from refvlm.text import StreamDecoder, Tokenizer, load_tokenizer

from ..spec import example, law
from .test_tokenizer import PIECES
from .vocabulary import write_vocabulary


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return load_tokenizer(write_vocabulary(tmp_path_factory.mktemp("tokenizer")))


@example
def test_stream_decoder_waits_for_the_last_byte(tokenizer):
    """A cat is four bytes: nothing, nothing, nothing, a cat."""
    ids = tokenizer.encode("🐈")
    stream = StreamDecoder(tokenizer)
    assert [stream.add(token_id) for token_id in ids] == ["", "", "", "🐈"]
    assert stream.finish() == ""


@example
def test_stream_decoder_ends_an_unfinished_character(tokenizer):
    """If the model stops in the middle of a character, one U+FFFD says so."""
    stream = StreamDecoder(tokenizer)
    assert [stream.add(token_id) for token_id in tokenizer.encode("🐈")[:3]] == [""] * 3
    assert stream.finish() == "\ufffd"


@law
@hypothesis.given(
    ids=st.lists(st.integers(0, 500) | st.integers(396, 404), max_size=40),
    markers=st.booleans(),
)
def test_stream_decoder_joined_is_decode(tokenizer, ids, markers):
    """All that was shown, joined, is the decoded text, whatever the ids."""
    stream = StreamDecoder(tokenizer, markers)
    shown = "".join([stream.add(token_id) for token_id in ids])
    assert shown + stream.finish() == tokenizer.decode(ids, markers)


@law
@hypothesis.given(ids=st.lists(st.sampled_from(range(128, 256)), max_size=12))
def test_stream_decoder_joined_is_decode_for_broken_utf8(tokenizer, ids):
    """Bytes that are no UTF-8 become the same U+FFFD, one by one or all at once."""
    stream = StreamDecoder(tokenizer)
    shown = "".join([stream.add(token_id) for token_id in ids])
    assert shown + stream.finish() == tokenizer.decode(ids)


@law
@hypothesis.given(pieces=st.lists(st.sampled_from(PIECES), max_size=8))
def test_stream_decoder_shows_whole_characters(tokenizer, pieces):
    """Of a valid text, no half of a character is ever shown."""
    stream = StreamDecoder(tokenizer)
    ids = tokenizer.encode("".join(pieces), markers=False)
    assert not any("\ufffd" in stream.add(token_id) for token_id in ids)
    assert stream.finish() == ""


@law
def test_stream_decoder_takes_markers_with_any_letters(tokenizer):
    """An added token is the text that it is, as in decode, also beyond ASCII."""
    backend = tokenizers.Tokenizer.from_str(tokenizer.to_json())
    backend.add_tokens(["<é>", "a b", "中"])
    more = Tokenizer(backend)
    for name in ("<é>", "a b", "中"):
        stream = StreamDecoder(more)
        ids = [more.token_id("a"), more.token_id(name), more.token_id("b")]
        shown = "".join([stream.add(token_id) for token_id in ids]) + stream.finish()
        assert shown == more.decode(ids)


@law
def test_stream_decoder_of_words_shows_what_decode_does():
    """In a tokenizer of another kind a token's text depends on those before it: the
    first loses its space. A character of several byte tokens comes whole."""
    pieces = ["<unk>", "▁a", "▁b", *(f"<0x{byte:02X}>" for byte in "é".encode())]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    backend = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, "<unk>"))
    backend.decoder = tokenizers.decoders.Sequence(
        [
            tokenizers.decoders.Replace("▁", " "),
            tokenizers.decoders.ByteFallback(),
            tokenizers.decoders.Fuse(),
            tokenizers.decoders.Strip(" ", 1, 0),
        ]
    )
    words = Tokenizer(backend)
    stream = StreamDecoder(words)
    assert [stream.add(i) for i in (1, 2, 3, 4, 1)] == ["a", " b", "", "é", " a"]
    assert stream.add(3) == "" and stream.finish() == "\ufffd"
    assert words.decode([1, 2, 3, 4, 1, 3]) == "a bé a\ufffd"
