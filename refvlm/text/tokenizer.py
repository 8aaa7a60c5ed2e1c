"""The tokenizer of a checkpoint: text to token ids, and ids to text.

The work is the `tokenizers` library's; this is a thin door to it. A text is normalised
(Qwen2: Unicode NFC), cut into words by a regular expression, and each word is merged
from bytes into tokens. Besides those, a checkpoint has *markers*, such as `<|im_end|>`:
tokens that were added by name and that no merge can produce.

Markers give a text power over the model, as quotes do in a query. So `encode` takes
`markers=False` for text from outside: `<|im_end|>` in a question is then ten characters
like any others, and the only markers are those that the program puts there itself.
"""

from __future__ import annotations

import contextlib
import operator
from collections.abc import Iterable, Iterator

import tokenizers
from tokenizers.decoders import ByteLevel
from tokenizers.processors import TemplateProcessing

from ..terminal import printable
from .byte_level import token_bytes


class TokenizerError(ValueError):
    """A tokenizer, template or text that cannot be used, and what to do about it."""


@contextlib.contextmanager
def one_error(what: object) -> Iterator[None]:
    """Whatever the library makes of bad files becomes a TokenizerError."""
    try:
        yield
    except (TokenizerError, KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as problem:  # a panic of the library is no Exception
        reason = printable(str(problem))  # it may quote the file
        raise TokenizerError(f"{what} is not a valid tokenizer: {reason}") from None


def valid_text(text: str) -> str:
    """The text, if it is one: a `str` without halves of surrogate pairs."""
    if not isinstance(text, str):
        raise TokenizerError(f"a text is a str, not {type(text).__name__}")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as problem:
        raise TokenizerError(
            f"the text is not valid Unicode: character {problem.start} is half of "
            "a surrogate pair, as bytes that are not UTF-8 become on a command line"
        ) from None
    return text


class Tokenizer:
    """Token ids from text and back, as the checkpoint was trained with."""

    def __init__(self, backend: tokenizers.Tokenizer, origin: str = "the tokenizer"):
        # A saved tokenizer may carry the settings of somebody's batches.
        backend.no_truncation()
        backend.no_padding()
        self._backend, self.origin = backend, origin
        added = backend.get_added_tokens_decoder()
        self.markers = {token.content: token_id for token_id, token in added.items()}
        self._hidden = {token_id for token_id, token in added.items() if token.special}
        self.is_byte_level = isinstance(backend.decoder, ByteLevel)

    def __len__(self) -> int:
        """How many tokens there are, markers included."""
        return self._backend.get_vocab_size(with_added_tokens=True)

    def encode(self, text: str, markers: bool = True) -> list[int]:
        """Token ids. With `markers=False`, no text whatever becomes a marker."""
        text = valid_text(text)
        with one_error(self.origin):
            if markers:
                return self._backend.encode(text, add_special_tokens=False).ids
            return self._encode_plain(text)

    def _encode_plain(self, text: str) -> list[int]:
        normalizer, splitter = self._backend.normalizer, self._backend.pre_tokenizer
        text = normalizer.normalize_str(text) if normalizer else text
        pieces = splitter.pre_tokenize_str(text) if splitter else [(text, None)]
        merge = self._backend.model.tokenize
        return [token.id for piece, _ in pieces for token in merge(piece)]

    @property
    def frame(self) -> tuple[list[int], list[int]]:
        """The ids that the tokenizer's own file puts before and after every text."""
        with one_error(self.origin):
            made = self._backend.encode("a", add_special_tokens=True)
        text = [i for i, added in enumerate(made.special_tokens_mask) if not added]
        first, last = (text[0], text[-1] + 1) if text else (len(made.ids),) * 2
        return made.ids[:first], made.ids[last:]

    def framed(self, start: str, end: str) -> Tokenizer:
        """The same tokenizer, whose file puts these two markers around every text."""
        backend = tokenizers.Tokenizer.from_str(self.to_json())
        backend.post_processor = TemplateProcessing(
            single=[start, "$A", end],
            special_tokens=[(name, self.token_id(name)) for name in (start, end)],
        )
        return Tokenizer(backend, self.origin)

    def decode(self, ids: Iterable[int], markers: bool = True) -> str:
        """Text. With `markers=False`, special markers are left out.

        Bytes that are not UTF-8 become U+FFFD. Ids beyond the vocabulary, which a model
        with padded embedding rows can produce, stand for no text.
        """
        known = [self.checked(token_id) for token_id in ids]
        with one_error(self.origin):
            return self._backend.decode(known, skip_special_tokens=not markers)

    def token_id(self, token: str) -> int:
        """The id of one token, by its name: `token_id("<|im_end|>")`."""
        found = self._backend.token_to_id(token)
        if found is None:
            raise TokenizerError(
                f"the tokenizer has no token {token!r}: the checkpoint lacks its "
                "added_tokens.json or tokenizer_config.json, or is of another family"
            )
        return found

    def bytes_of(self, token_id: int, markers: bool = True) -> bytes:
        """What one id adds to the decoded text, before UTF-8 is read from it."""
        token_id = self.checked(token_id)
        if not markers and token_id in self._hidden:
            return b""
        return token_bytes(self._backend.id_to_token(token_id) or "")

    def to_json(self) -> str:
        """The text of its `tokenizer.json`."""
        return self._backend.to_str(pretty=True)

    @staticmethod
    def checked(token_id: int) -> int:
        """The id as an int, or an error for what cannot be one."""
        number = operator.index(token_id)
        if not 0 <= number < 1 << 32:
            raise TokenizerError(
                f"{number} is not a token id: a placeholder for an image has no text"
            )
        return number
