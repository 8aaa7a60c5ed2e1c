"""Words for the library's models, cut so that no token of them is a marker.

A vocabulary may have a marker among the pieces that words are cut into, and then a word
that is spelled like it becomes it. Such a word is cut anew by a copy of the model that
has no markers, made when the first is met.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence, Set
from functools import cached_property
from typing import Any

import tokenizers

from ..raw_stream.spelled_bytes import join_bytes
from ..subwords import only_marker


class UnmarkedWords:
    """The model of a tokenizer of the library, and its markers with their ids."""

    def __init__(self, backend: tokenizers.Tokenizer, markers: Mapping[str, int]):
        self.backend, self.model = backend, backend.model
        self.name_of = {number: name for name, number in markers.items()}

    def encode(self, words: Sequence[str]) -> list[int]:
        """Token ids, of which none is a marker's, but for the unknown token's."""
        cuts = [self.model.tokenize(word) for word in words]
        ids = [token.id for cut in cuts for token in cut]
        if self.name_of.keys().isdisjoint(ids) or self._reserved.isdisjoint(ids):
            return ids
        return [n for word, cut in zip(words, cuts) for n in self._unmarked(word, cut)]

    def _unmarked(self, word, tokens):
        ids = [token.id for token in tokens]
        clash = self._reserved.intersection(ids)
        if not clash:
            return ids
        bare, id_of = self._without_markers
        anew = bare.tokenize(word)
        ids = [id_of.get(token.id, token.id) for token in anew]
        # Without a token for what is unknown, the library drops it.
        lost = self._unknown is None and _spelled(anew) != _spelled(tokens)
        if lost or not self._reserved.isdisjoint(ids):
            raise only_marker(self.name_of[min(clash)])
        return ids

    @cached_property
    def _described(self) -> dict[str, Any]:
        return json.loads(self.model.__getstate__())

    @cached_property
    def _unknown(self) -> str | None:
        """The token for what is unknown; where tokens spell bytes, nothing is."""
        cutter = self.backend.pre_tokenizer
        if cutter is not None and b'"ByteLevel"' in cutter.__getstate__():
            return None
        if "unk_id" in self._described:
            number = self._described["unk_id"]
            return None if number is None else self._described["vocab"][number][0]
        return self._described.get("unk_token")

    @cached_property
    def _reserved(self) -> set[int]:
        return {i for i, name in self.name_of.items() if name != self._unknown}

    @cached_property
    def _without_markers(self):
        """The model, and where its ids are others: its id -> the id."""
        names = {self.name_of[number] for number in self._reserved}
        described, id_of = without(self._described, names)
        made = tokenizers.Tokenizer.from_str(json.dumps({**EMPTY, "model": described}))
        return made.model, id_of


EMPTY: dict[str, Any] = {"version": "1.0", "added_tokens": []}


def without(
    model: Mapping[str, Any], names: Set[str]
) -> tuple[dict[str, Any], dict[int, int]]:
    """A model of a `tokenizer.json` that lacks some tokens, and id -> the id before.

    >>> rows = [["<unk>", 0.0], ["<s>", 0.0], ["a", -1.0]]
    >>> without({"type": "Unigram", "unk_id": 0, "vocab": rows}, {"<s>"})
    ({'type': 'Unigram', 'unk_id': 0, 'vocab': [['<unk>', 0.0], ['a', -1.0]]}, {1: 2})
    """
    vocab = model["vocab"]
    if isinstance(vocab, list):  # where the place of a piece is its id
        kept = [number for number, (piece, _) in enumerate(vocab) if piece not in names]
        unk_id = None if model["unk_id"] is None else kept.index(model["unk_id"])
        made = {**model, "unk_id": unk_id, "vocab": [vocab[number] for number in kept]}
        return made, {at: was for at, was in enumerate(kept) if at != was}
    vocab = {token: number for token, number in vocab.items() if token not in names}
    made = {**model, "vocab": vocab}
    if model.get("unk_token") in names:
        made["unk_token"] = None
    if "merges" in model:
        prefix = model.get("continuing_subword_prefix") or ""
        merges = model["merges"]
        made["merges"] = [m for m in merges if _made_of(m, prefix) <= vocab.keys()]
    return made, {}


def _made_of(merge, prefix):
    """The two tokens of a merge, and what it makes of them."""
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return {left, right, left + right.removeprefix(prefix)}


def _spelled(tokens):
    return "".join(join_bytes(token.value for token in tokens))
