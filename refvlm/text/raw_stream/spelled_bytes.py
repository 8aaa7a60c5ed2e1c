"""Byte fallback: a character that no token knows, as its UTF-8 bytes, a token each.

The tokens are spelled `<0x00>` to `<0xFF>`, and stand in the vocabulary beside the
others. With them nothing is unknown, and no text is lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

BYTE_TOKENS = [f"<0x{byte:02X}>" for byte in range(256)]
_BYTE = re.compile("<0x([0-9A-Fa-f]{2})>")


def byte_tokens(text: str) -> list[str]:
    """The bytes of a text as tokens.

    >>> byte_tokens("é")
    ['<0xC3>', '<0xA9>']
    """
    return [BYTE_TOKENS[byte] for byte in text.encode("utf-8")]


def join_bytes(tokens: Iterable[str]) -> list[str]:
    """Runs of byte tokens as text. In a run that is not UTF-8, each byte is a U+FFFD.

    Oracle: tokenizers.decoders.ByteFallback.

    >>> join_bytes(["a", "<0xC3>", "<0xA9>", "b", "<0xC3>"])
    ['a', 'é', 'b', '�']
    """
    parts: list[str] = []
    run = bytearray()
    for token in [*tokens, ""]:
        spelled = _BYTE.fullmatch(token)
        if spelled:
            run.append(int(spelled[1], 16))
            continue
        if run:
            try:
                parts.append(run.decode("utf-8"))
            except UnicodeDecodeError:
                parts.append("\ufffd" * len(run))
            run = bytearray()
        parts.append(token)
    return parts[:-1]
