"""Our own engine: a byte-level BPE's `tokenizer.json`, with nothing but Python.

It takes the place of the `tokenizers` library where that is not installed, and gives
the same ids. What it cannot do it does not do by half: a file that asks for another
normal form, cut or model is refused, and the library recommended.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..checkpoint.documents import parse_object
from ..checkpoint.errors import is_text
from .byte_level_bpe import ByteLevelBPE
from .description import FLAGS, added_token, describe
from .engine import Engine, is_id
from .errors import TokenizerError


class PlainEngine(Engine):
    """`ByteLevelBPE`, as a file describes it.

    Source: [Cortes] 7.1. Oracle: tokenizers.Tokenizer.
    """

    is_byte_level = True

    def __init__(self, document: dict[str, Any], origin: str):
        added = part(document, "added_tokens", list, origin)
        model = part(document, "model", dict, origin)
        _check_steps(document, origin)
        for fields in added:
            _check_marker(fields, origin)
        self.document, self.origin = document, origin
        self.markers = {fields["content"]: fields["id"] for fields in added}
        self.hidden = {fields["id"] for fields in added if fields["special"]}
        vocabulary = _with_markers(
            part(model, "vocab", dict, origin), self.markers, origin
        )
        merges = _pairs(part(model, "merges", list, origin), vocabulary, origin)
        self.bpe = ByteLevelBPE(vocabulary, merges, tuple(self.markers))

    @classmethod
    def from_json(cls, text: str, origin: str) -> PlainEngine:
        return cls(parse_object(text, origin, TokenizerError), origin)

    def __len__(self) -> int:
        return len(self.bpe)

    def encode(self, text: str, markers: bool) -> list[int]:
        return self.bpe.encode(text, markers)

    def decode(self, ids: Sequence[int], markers: bool) -> str:
        hidden = set() if markers else self.hidden
        token_of = self.bpe.token_of
        return self.bpe.decode(i for i in ids if i in token_of and i not in hidden)

    def token_id(self, token: str) -> int | None:
        return self.bpe.vocabulary.get(token)

    def token(self, token_id: int) -> str | None:
        return self.bpe.token_of.get(token_id)

    def frame(self) -> tuple[list[int], list[int]]:
        post = self.document.get("post_processor") or {"type": "ByteLevel"}
        kind = part(post, "type", str, self.origin)
        if kind == "ByteLevel":  # it moves offsets, and adds nothing
            return [], []
        if kind != "TemplateProcessing":
            raise _beyond(self.origin, "post_processor", kind)
        special = part(post, "special_tokens", dict, self.origin)
        around: tuple[list[int], list[int]] = ([], [])
        at = 0
        # {"SpecialToken": {"id": name}} any number of times, and one {"Sequence": ...}
        for piece in part(post, "single", list, self.origin):
            if isinstance(piece, dict) and "Sequence" in piece:
                at += 1
                continue
            marker = part(piece, "SpecialToken", dict, self.origin)
            name = part(marker, "id", str, self.origin)
            entry = part(special, name, dict, self.origin)
            ids = part(entry, "ids", list, self.origin)
            if at > 1 or not all(map(is_id, ids)):
                raise _beyond(self.origin, "post_processor", post)
            around[at].extend(ids)
        if at != 1:
            raise _beyond(self.origin, "post_processor", post)
        return around

    def with_markers(self, markers: Sequence[tuple[int, Mapping[str, Any]]]) -> Engine:
        listed = [added_token(token_id, **marker) for token_id, marker in markers]
        added = sorted([*self.document["added_tokens"], *listed], key=lambda m: m["id"])
        return PlainEngine({**self.document, "added_tokens": added}, self.origin)

    def to_json(self) -> str:
        return json.dumps(self.document, indent=2, ensure_ascii=False)


KINDS = {list: "a list", dict: "an object", str: "a text", bool: "true or false"}


def part(holder: Any, name: str, kind: type, origin: str) -> Any:
    """What stands under a name in a file from outside, if it is of that kind."""
    value = holder.get(name) if isinstance(holder, dict) else None
    if not isinstance(value, kind):
        raise TokenizerError(
            f"{origin}: its {name[:80]!r} is {value!r:.80}, where the format has "
            f"{KINDS[kind]}: download the file again"
        )
    return value


def _beyond(origin: str, step: str, found: object) -> TokenizerError:
    return TokenizerError(
        f"{origin}: its {step} is {found!r:.80}, which takes the tokenizers library: "
        "pip install tokenizers"
    )


def _check_steps(document: Mapping[str, Any], origin: str) -> None:
    """Refuse a file that asks for steps that are not Qwen2's."""
    ours = describe({}, [])
    for step in ("normalizer", "pre_tokenizer"):
        if _essence(document.get(step)) != _essence(ours[step]):
            raise _beyond(origin, step, document.get(step))
    decoder, model = document.get("decoder"), document["model"]
    if not isinstance(decoder, dict) or decoder.get("type") != "ByteLevel":
        raise _beyond(origin, "decoder", decoder)
    if model.get("type", "BPE") != "BPE":
        raise _beyond(origin, "model", model["type"])
    for switch in model.keys() - {"type", "vocab", "merges", "fuse_unk"}:
        if model[switch]:
            raise _beyond(origin, "model", {switch: model[switch]})


def _essence(step: Any) -> Any:
    """A step without the option that changes no token."""
    if isinstance(step, list):
        return [_essence(part) for part in step]
    if isinstance(step, dict):
        return {k: _essence(v) for k, v in step.items() if k != "trim_offsets"}
    return step


def _check_marker(fields: Any, origin: str) -> None:
    content = part(fields, "content", str, origin)
    if not is_id(fields.get("id")) or not content:
        raise TokenizerError(
            f"{origin}: its added token {fields!r:.80} has no whole number as its id, "
            "or no text: download the file again"
        )
    for flag in FLAGS:
        if part(fields, flag, bool, origin) and flag != "special":
            raise _beyond(origin, "added token", {fields["content"]: flag})


def _with_markers(vocab: Mapping[str, int], markers: Mapping[str, int], origin: str):
    """One vocabulary of both, in which each token has an id of its own."""
    whole = {**vocab, **markers}
    numbers = list(whole.values())
    if not all(map(is_id, numbers)) or not is_text("".join(whole)):
        raise TokenizerError(
            f"{origin}: its vocab does not give each text a whole number: download the "
            "file again"
        )
    new = sorted(markers[name] for name in markers if name not in vocab)
    if (
        any(vocab.get(name, number) != number for name, number in markers.items())
        or len(set(numbers)) < len(numbers)
        or new != list(range(len(vocab), len(whole)))
    ):
        raise TokenizerError(
            f"{origin}: its vocab and added_tokens do not number the tokens one by "
            "one: they are of different checkpoints"
        )
    return whole


def _pairs(merges: Sequence[Any], vocabulary: Mapping[str, int], origin: str):
    """The merges, which older files write as "a b" and newer ones as ["a", "b"]."""
    pairs = []
    for merge in merges:
        pair = tuple(merge.split(" ")) if isinstance(merge, str) else merge
        spelled = isinstance(pair, (list, tuple)) and len(pair) == 2
        if not spelled or not all(isinstance(token, str) for token in pair):
            raise TokenizerError(
                f"{origin}: its merge {merge!r:.80} is not two tokens: download the "
                "file again"
            )
        left, right = pair
        if not {left, right, left + right} <= vocabulary.keys():
            raise TokenizerError(
                f"{origin}: its merge {merge!r:.80} is not of the vocabulary: the "
                "files are of different checkpoints"
            )
        pairs.append((left, right))
    return pairs
