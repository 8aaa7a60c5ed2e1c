"""`tokenizer.json`: how a tokenizer is described, whatever its kind.

It says each step by name: the normal form, the cut into words, the model that cuts
words into tokens, what is put around a text, and what turns tokens back into text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Document = dict[str, Any]
Step = Mapping[str, Any] | None

FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")


def document(
    model: Mapping[str, Any],
    markers: Iterable[tuple[str, int]] = (),
    *,
    normalizer: Step = None,
    pre_tokenizer: Step = None,
    post_processor: Step = None,
    decoder: Step = None,
) -> Document:
    """The object in a `tokenizer.json`; the markers are names, each with its id."""
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [added_token(number, name) for name, number in markers],
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": post_processor,
        "decoder": decoder,
        "model": dict(model),
    }


def added_token(token_id: int, content: str, special: bool = True, **flags: bool):
    """A marker as `tokenizer.json` lists it; what is not special is normalised too."""
    default = dict.fromkeys(FLAGS, False) | {"normalized": not special}
    fields = default | flags | {"special": special}
    return {"id": token_id, "content": content, **fields}


def framing(
    start: tuple[str, int] | None, end: tuple[str, int] | None
) -> dict[str, Any]:
    """The post-processor that puts a marker, given with its id, at either end, or at
    one of them."""

    def sequence(name: str, kind: int) -> dict[str, Any]:
        return {"Sequence": {"id": name, "type_id": kind}}

    def special(marker: tuple[str, int] | None) -> list[dict[str, Any]]:
        return [{"SpecialToken": {"id": marker[0], "type_id": 0}}] if marker else []

    return {
        "type": "TemplateProcessing",
        "single": [*special(start), sequence("A", 0), *special(end)],
        "pair": [sequence("A", 0), sequence("B", 1)],
        "special_tokens": {
            name: {"id": name, "ids": [number], "tokens": [name]}
            for name, number in filter(None, (start, end))
        },
    }
