"""Byte fallback: characters as bytes, a token each, and back."""

from hypothesis import given
from hypothesis import strategies as st
from tokenizers import decoders

from refvlm.text.raw_stream.spelled_bytes import BYTE_TOKENS, byte_tokens, join_bytes

from ...spec import example, law, oracle
from ..hard_texts import anything


@example
def test_byte_tokens_of_an_emoji():
    """Four bytes; three of them are no character, and each is said to be none."""
    found = byte_tokens("🙂")
    assert found == ["<0xF0>", "<0x9F>", "<0x99>", "<0x82>"]
    assert join_bytes(["x", *found, "y"]) == ["x", "🙂", "y"]
    assert "".join(join_bytes(found[:3])) == "\ufffd" * 3


@law
@given(st.text(anything))
def test_join_bytes_undoes_byte_tokens(text):
    """Whatever the text."""
    assert "".join(join_bytes(byte_tokens(text))) == text


@oracle
@given(
    st.lists(
        st.sampled_from([*BYTE_TOKENS, "a", "é", "", "<0x4>", "<0xzz>", "<0x41>>"])
        | st.sampled_from(BYTE_TOKENS[0x80:0xD0])
    )
)
def test_join_bytes_as_the_library_does(tokens):
    """Runs that are UTF-8 and runs that are not."""
    assert "".join(join_bytes(tokens)) == decoders.ByteFallback().decode(tokens)
