"""The tokenizer of a checkpoint: text to token ids, and ids to text.

The work is done by an engine: the `tokenizers` library's where that is installed, else
our own, which knows the kinds in `engines/kinds.py`. A text is normalised (Qwen2:
Unicode NFC), cut into words by a regular expression, and each word is merged from bytes
into tokens. Besides those, a checkpoint has *markers*, such as `<|im_end|>`: tokens
that were added by name, and that plain text is not meant to produce.

Markers give a text power over the model, as quotes do in a query. So `encode` takes
`markers=False` for text from outside: `<|im_end|>` in a question is then ten characters
like any others, and the only markers are those that the program puts there itself.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Iterable
from typing import TYPE_CHECKING

from .bpe.byte_level import token_bytes
from .description import framing
from .engines.engine import Engine
from .engines.plain import PlainEngine
from .errors import TokenizerError, one_error, valid_text
from .subwords import Subwords

if TYPE_CHECKING:
    import tokenizers


def open_engine(text: str, origin: str = "tokenizer.json") -> Engine:
    """The engine that the text of a `tokenizer.json` describes.

    `origin` names the text in messages.
    """
    try:
        from .engines.library import LibraryEngine
    except ImportError:
        return PlainEngine.from_json(text, origin)
    return LibraryEngine.from_json(text)


class Tokenizer:
    """Token ids from text and back, as the checkpoint was trained with."""

    def __init__(
        self, engine: Engine | tokenizers.Tokenizer, origin: str = "the tokenizer"
    ):
        if not isinstance(engine, Engine):  # the library's own will do
            from .engines.library import LibraryEngine

            engine = LibraryEngine(engine)
        self._engine, self.origin = engine, origin
        self.markers, self.is_byte_level = engine.markers, engine.is_byte_level

    @classmethod
    def of(
        cls,
        given: Tokenizer | Subwords | tokenizers.Tokenizer,
        origin: str = "the tokenizer",
    ) -> Tokenizer:
        """The tokenizer that a vocabulary of any kind describes, or the library's own;
        a `Tokenizer` is one already."""
        if isinstance(given, Tokenizer):
            return given
        if isinstance(given, Subwords):
            return cls(open_engine(json.dumps(given.describe()), origin), origin)
        return cls(given, origin)

    def __len__(self) -> int:
        """How many tokens there are, markers included."""
        return len(self._engine)

    def encode(self, text: str, markers: bool = True) -> list[int]:
        """Token ids. With `markers=False`, no text whatever becomes a marker, but for
        the token for what is unknown, where the vocabulary needs one.

        What cannot be written without a marker is a TokenizerError.
        """
        text = valid_text(text)
        with one_error(self.origin):
            return self._engine.encode(text, markers)

    @property
    def frame(self) -> tuple[list[int], list[int]]:
        """The ids that the tokenizer's own file puts before and after every text."""
        with one_error(self.origin):
            return self._engine.frame()

    def framed(self, start: str | None, end: str | None) -> Tokenizer:
        """The same tokenizer, whose file puts these two markers around every text; None
        where there is none."""
        pairs = [
            None if name is None else (name, self.token_id(name))
            for name in (start, end)
        ]
        document = {**json.loads(self.to_json()), "post_processor": framing(*pairs)}
        return Tokenizer(open_engine(json.dumps(document)), self.origin)

    def decode(self, ids: Iterable[int], markers: bool = True) -> str:
        """Text. With `markers=False`, special markers are left out.

        Bytes that are not UTF-8 become U+FFFD. Ids beyond the vocabulary, which a model
        with padded embedding rows can produce, stand for no text.
        """
        known = [self.checked(token_id) for token_id in ids]
        with one_error(self.origin):
            return self._engine.decode(known, markers)

    def token_id(self, token: str) -> int:
        """The id of one token, by its name: `token_id("<|im_end|>")`."""
        found = self._engine.token_id(token)
        if found is None:
            raise TokenizerError(
                f"the tokenizer has no token {token!r}: the checkpoint lacks its "
                "added_tokens.json or tokenizer_config.json, or is of another family"
            )
        return found

    def token(self, token_id: int) -> str | None:
        """The token of an id, as the vocabulary spells it; None where there is none."""
        return self._engine.token(self.checked(token_id))

    def bytes_of(self, token_id: int, markers: bool = True) -> bytes:
        """What one id adds to the decoded text, before UTF-8 is read from it."""
        token_id = self.checked(token_id)
        if not markers and token_id in self._engine.hidden:
            return b""
        return token_bytes(self._engine.token(token_id) or "")

    def to_json(self) -> str:
        """The text of its `tokenizer.json`."""
        return self._engine.to_json()

    @staticmethod
    def checked(token_id: int) -> int:
        """The id as an int, or an error for what cannot be one."""
        number = operator.index(token_id)
        if not 0 <= number < 1 << 32:
            raise TokenizerError(
                f"{number} is not a token id: a placeholder for an image has no text"
            )
        return number
