"""Decoding while the model is still speaking.

A token of byte-level BPE may end in the middle of a character: `é` is two bytes, a
picture of a cat four. Text that is shown as it arrives has to hold back an unfinished
character until its last byte is there.
"""

from __future__ import annotations

import codecs

from .errors import TokenizerError
from .tokenizer import Tokenizer


class StreamDecoder:
    """Ids in, one at a time; whole characters out.

    What `add` and `finish` return, joined, is `tokenizer.decode` of all the ids.
    """

    def __init__(self, tokenizer: Tokenizer, markers: bool = True):
        if not tokenizer.is_byte_level:
            raise TokenizerError(
                f"{tokenizer.origin}: StreamDecoder needs a byte-level tokenizer"
            )
        self._tokenizer, self._markers = tokenizer, markers
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")

    def add(self, token_id: int) -> str:
        """The text that this token completes, often none or one word."""
        return self._utf8.decode(self._tokenizer.bytes_of(token_id, self._markers))

    def finish(self) -> str:
        """What was held back: U+FFFD if the last character was never finished."""
        return self._utf8.decode(b"", final=True)
