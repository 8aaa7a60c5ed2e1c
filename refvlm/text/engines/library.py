"""The engine of the `tokenizers` library: compiled, quick, and knows every kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tokenizers
from tokenizers.decoders import ByteLevel

from .engine import Engine
from .unmarked import UnmarkedWords


class LibraryEngine(Engine):
    """A thin door to a tokenizer of the library."""

    def __init__(self, backend: tokenizers.Tokenizer):
        # A saved tokenizer may carry the settings of somebody's batches.
        backend.no_truncation()
        backend.no_padding()
        self.backend = backend
        self.is_byte_level = isinstance(backend.decoder, ByteLevel)
        added = backend.get_added_tokens_decoder()
        self.markers = {token.content: token_id for token_id, token in added.items()}
        self.hidden = {token_id for token_id, token in added.items() if token.special}
        self.unmarked = UnmarkedWords(backend, self.markers)

    @classmethod
    def from_json(cls, text: str) -> LibraryEngine:
        return cls(tokenizers.Tokenizer.from_str(text))

    def __len__(self) -> int:
        return self.backend.get_vocab_size(with_added_tokens=True)

    def encode(self, text: str, markers: bool) -> list[int]:
        if markers:
            return self.backend.encode(text, add_special_tokens=False).ids
        normalizer, splitter = self.backend.normalizer, self.backend.pre_tokenizer
        # Asked whether it is true, a sequence of steps of some versions says no.
        if normalizer is not None:
            text = normalizer.normalize_str(text)
        cut = splitter is not None
        pieces = splitter.pre_tokenize_str(text) if cut else [(text, None)]
        words = [piece for piece, _ in pieces]
        return self.unmarked.encode(words)

    def decode(self, ids: Sequence[int], markers: bool) -> str:
        return self.backend.decode(ids, skip_special_tokens=not markers)

    def token_id(self, token: str) -> int | None:
        return self.backend.token_to_id(token)

    def token(self, token_id: int) -> str | None:
        return self.backend.id_to_token(token_id)

    def frame(self) -> tuple[list[int], list[int]]:
        made = self.backend.encode("a", add_special_tokens=True)
        text = [i for i, added in enumerate(made.special_tokens_mask) if not added]
        first, last = (text[0], text[-1] + 1) if text else (len(made.ids),) * 2
        return made.ids[:first], made.ids[last:]

    def with_markers(self, markers: Sequence[tuple[int, Mapping[str, Any]]]) -> Engine:
        # It numbers them itself; whoever adds them sees whether the ids are the same.
        for _, marker in markers:
            self.backend.add_tokens([tokenizers.AddedToken(**marker)])
        return LibraryEngine(self.backend)

    def to_json(self) -> str:
        return self.backend.to_str(pretty=True)
