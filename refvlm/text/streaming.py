"""Decoding while the model is still speaking.

A token of byte-level BPE may end in the middle of a character: `é` is two bytes, a
picture of a cat four. Text that is shown as it arrives has to hold back an unfinished
character until its last byte is there.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence

from .subwords import Subwords
from .tokenizer import Tokenizer


class StreamDecoder:
    """Ids in, one at a time; whole characters out.

    What `add` and `finish` return, joined, is `tokenizer.decode` of all the ids; where
    the text goes on from the ids `before`, it is what their text grows by.
    """

    def __init__(
        self,
        tokenizer: Tokenizer | Subwords,
        markers: bool = True,
        before: Sequence[int] = (),
    ):
        self._tokenizer, self._markers = Tokenizer.of(tokenizer), markers
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._ids = [int(token_id) for token_id in before]
        self._shown = self._tokenizer.decode(self._ids, markers)

    def add(self, token_id: int) -> str:
        """The text that this token completes, often none or one word."""
        if self._tokenizer.is_byte_level:
            return self._utf8.decode(self._tokenizer.bytes_of(token_id, self._markers))
        # Of another kind a token's text depends on those before it.
        self._ids.append(token_id)
        return self._show(self._tokenizer.decode(self._ids, self._markers), UNFINISHED)

    def finish(self) -> str:
        """What was held back: U+FFFD if the last character was never finished."""
        if self._tokenizer.is_byte_level:
            return self._utf8.decode(b"", final=True)
        return self._show(self._tokenizer.decode(self._ids, self._markers), "")

    def _show(self, text, held_back):
        text = text.rstrip(held_back) if held_back else text
        shown, self._shown = len(self._shown), max(text, self._shown, key=len)
        return text[shown:]


UNFINISHED = "\ufffd"  # what bytes become that are no character, or not yet
