"""BPE on a raw stream, as LLaMA and Vicuna have it: letters merged, the rest bytes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any, Self

from ..bpe.byte_pairs import Pair, bpe_encode, ranks_without
from ..bpe.description import bpe_model
from ..documents import beyond, check_switches, part, read_added, read_merges
from .description import read_stream, shows_spaces
from .kind import RawStreamSubwords, check_unknown, read_late
from .stream import LLAMA, RawStream


class RawStreamBPE(RawStreamSubwords):
    """A vocabulary and its merges, best first. A whole text may be one word.

    With `fuse_unknown`, neighbours that are unknown are one token together.

    Source: [Cortes] 4.2. Oracle: tokenizers.models.BPE(byte_fallback=True),
    transformers.LlamaTokenizer.

    >>> vocabulary = {"<unk>": 0, "▁": 1, "a": 2, "b": 3, "ab": 4, "▁ab": 5}
    >>> bpe = RawStreamBPE(vocabulary, [("a", "b"), ("▁", "ab")])
    >>> bpe.tokens("ab éba"), bpe.decode(bpe.encode("ab ba"))
    (['▁ab', '▁', '<unk>', 'b', 'a'], 'ab ba')
    """

    def __init__(
        self,
        known: Mapping[str, int],
        merges: Iterable[Pair],
        stream: RawStream = LLAMA,
        unknown: str | None = "<unk>",
        byte_fallback: bool = False,
        fuse_unknown: bool = True,
        markers: Sequence[str] = (),
        added: Mapping[str, int] | None = None,
        late: Iterable[str] = (),
    ):
        super().__init__(known, stream, unknown, byte_fallback, markers, added, late)
        self.merges = [(left, right) for left, right in merges]
        self.ranks = {pair: rank for rank, pair in enumerate(self.merges)}
        self.fuse_unknown = fuse_unknown

    def cut(self, word: str) -> list[str]:
        symbols: list[str] = []
        fused = False
        for character in word:
            known = character in self.known
            spelled = [character] if known else self.for_unknown(character)
            unknown = not known and spelled == [self.unknown]
            if not (unknown and fused):
                symbols += spelled
            fused = unknown and self.fuse_unknown
        return bpe_encode(symbols, self.ranks)

    def forget(self, names: Set[str]) -> None:
        super().forget(names)
        self.ranks = ranks_without(names, self.ranks)

    def model(self) -> dict[str, Any]:
        return bpe_model(
            self.known,
            self.merges,
            unk_token=self.unknown,
            fuse_unk=self.fuse_unknown,
            byte_fallback=self.byte_fallback,
        )

    @classmethod
    def claims(cls, document: Mapping[str, Any]) -> bool:
        kind = document["model"].get("type", "BPE")
        return kind == "BPE" and shows_spaces(document)

    @classmethod
    def from_document(
        cls, document: Mapping[str, Any], markers: Mapping[str, int], origin: str
    ) -> Self:
        stream, model = read_stream(document, origin), document["model"]
        check_switches(
            model, {"merges", "fuse_unk", "byte_fallback", "unk_token"}, origin
        )
        known = part(model, "vocab", dict, origin)
        added = read_added(known, markers, origin)
        unknown = model.get("unk_token")
        if unknown is not None:
            unknown = part(model, "unk_token", str, origin)
        fallback = check_unknown(model, known, unknown, origin)
        if unknown is None and not fallback:  # what is unknown would be lost
            raise beyond(origin, "model", {"unk_token": None})
        fused = part({"fuse_unk": False, **model}, "fuse_unk", bool, origin)
        merges = read_merges(model, known, origin)
        late = read_late(document, stream, origin)
        return cls(
            known, merges, stream, unknown, fallback, fused, tuple(markers), added, late
        )
