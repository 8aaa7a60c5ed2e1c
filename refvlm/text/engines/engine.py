"""What turns text into ids: the face that the library's engine and our own share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any


class Engine(ABC):
    """Text to ids and back, as one `tokenizer.json` describes it.

    `markers` are the tokens that were added by name, with their ids; `hidden` are the
    ids of those that `decode` may leave out.
    """

    markers: dict[str, int]
    hidden: set[int]
    is_byte_level: bool

    @abstractmethod
    def __len__(self) -> int:
        """How many tokens there are, markers included."""

    @abstractmethod
    def encode(self, text: str, markers: bool) -> list[int]:
        """Token ids. With `markers=False`, no text whatever becomes a marker, but for
        the token for what is unknown."""

    @abstractmethod
    def decode(self, ids: Sequence[int], markers: bool) -> str:
        """Text. Ids that are not in the vocabulary stand for none."""

    @abstractmethod
    def token_id(self, token: str) -> int | None:
        """The id of a token, as the vocabulary spells it."""

    @abstractmethod
    def token(self, token_id: int) -> str | None:
        """The token of an id, as the vocabulary spells it."""

    @abstractmethod
    def frame(self) -> tuple[list[int], list[int]]:
        """The ids before and after every text."""

    @abstractmethod
    def with_markers(self, markers: Sequence[tuple[int, Mapping[str, Any]]]) -> Engine:
        """It and more markers: of each the id, its `content`, how it is matched."""

    @abstractmethod
    def to_json(self) -> str:
        """The text of its `tokenizer.json`."""
