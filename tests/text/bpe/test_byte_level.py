"""The byte-level alphabet: every byte a character, so that no text is unknown."""

import hypothesis
from hypothesis import strategies as st
from tokenizers.pre_tokenizers import ByteLevel

from refvlm.text.bpe.byte_level import BYTE_OF, byte_alphabet, token_bytes

from ...spec import example, law, oracle


@example
def test_byte_alphabet_writes_a_space_as_a_letter():
    """The space is Ġ, the newline Ċ, and a letter of ASCII is itself."""
    alphabet = byte_alphabet()
    assert "".join(alphabet[byte] for byte in b"an apple\n") == "anĠappleĊ"
    assert token_bytes("ĠappleĊ") == b" apple\n"


@law
def test_byte_alphabet_is_one_to_one():
    """256 bytes, 256 characters, none of them a space or a control character."""
    alphabet = byte_alphabet()
    assert sorted(alphabet) == list(range(256))
    assert len(set(alphabet.values())) == 256
    assert all(character.isprintable() for character in alphabet.values())
    assert not any(character.isspace() for character in alphabet.values())


@law
@hypothesis.given(text=st.text())
def test_token_bytes_undoes_the_alphabet(text):
    """A text written in the alphabet and read again is the text."""
    alphabet = byte_alphabet()
    token = "".join(alphabet[byte] for byte in text.encode())
    assert token_bytes(token).decode() == text


@oracle
def test_byte_alphabet_equals_the_tokenizers_library():
    """The 256 characters are those of the published vocabularies."""
    assert set(BYTE_OF) == set(ByteLevel.alphabet())
    for byte, character in byte_alphabet().items():
        if byte < 128:
            (piece, _), *_ = ByteLevel(
                add_prefix_space=False, use_regex=False
            ).pre_tokenize_str(chr(byte))
            assert piece == character
