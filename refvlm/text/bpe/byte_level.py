"""The byte-level alphabet: each of the 256 bytes as one printable character.

Byte-level BPE, of GPT-2 and Qwen2, merges bytes rather than characters, so that no text
is ever unknown. Its vocabulary is nevertheless kept as readable text: a byte that
prints in Latin-1 stands for itself, and the other 68, in order, become the characters
from 256 on. A space is `Ġ`, a newline `Ċ`.
"""

from __future__ import annotations

from collections.abc import Callable

from ..errors import TokenizerError


def byte_alphabet() -> dict[int, str]:
    """byte -> character, one to one.

    >>> alphabet = byte_alphabet()
    >>> "".join(alphabet[byte] for byte in "né a\\n".encode())
    'nÃ©ĠaĊ'
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    alphabet = {byte: chr(byte) for byte in printable}
    others = (byte for byte in range(256) if byte not in alphabet)
    alphabet |= {byte: chr(256 + n) for n, byte in enumerate(others)}
    return alphabet


BYTE_OF = {character: byte for byte, character in byte_alphabet().items()}


def token_bytes(token: str) -> bytes:
    """The bytes that a token of the vocabulary stands for.

    A token with a character outside the alphabet was added as plain text, and stands
    for its UTF-8 bytes.

    >>> token_bytes("Ġcaf"), token_bytes("Ã"), token_bytes("a b")
    (b' caf', b'\\xc3', b'a b')
    """
    if all(character in BYTE_OF for character in token):
        return bytes(BYTE_OF[character] for character in token)
    return token.encode("utf-8")


def check_alphabet(id_of: Callable[[str], int | None], origin: object) -> None:
    """Without a token for some byte, the texts that have it would lose it silently."""
    absent = [letter for letter in BYTE_OF if id_of(letter) is None]
    if absent:
        raise TokenizerError(
            f"{origin}: the vocabulary has no token for {len(absent)} of the 256 "
            f"bytes, {absent[0]!r} among them: it is damaged"
        )
