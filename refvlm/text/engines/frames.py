"""What a `tokenizer.json` puts around every text: its post-processor, read."""

from __future__ import annotations

from typing import Any

from ..documents import beyond, is_id, part

Frame = tuple[list[int], list[int]]  # the ids before, and after


def read_frame(post: Any, origin: str) -> Frame:
    """The ids before and after every text.

    Oracle: tokenizers.processors.TemplateProcessing, BertProcessing,
    RobertaProcessing, and a Sequence of these, one of which adds anything.
    """
    if post is None:
        return [], []
    kind = part(post, "type", str, origin)
    if kind == "ByteLevel":  # it moves offsets, and adds nothing
        return [], []
    if kind in ("BertProcessing", "RobertaProcessing"):
        return [_named(post, "cls", origin)], [_named(post, "sep", origin)]
    if kind == "TemplateProcessing":
        return _template(post, origin)
    if kind == "Sequence":
        return _sequence(post, origin)
    raise beyond(origin, "post_processor", kind)


def _sequence(post: Any, origin: str) -> Frame:
    """That of the one step which adds anything, as LLaMA-3 has it; two are refused."""
    steps = part(post, "processors", list, origin)
    if any(isinstance(step, dict) and step.get("type") == "Sequence" for step in steps):
        raise beyond(origin, "post_processor", post)
    frames = [frame for step in steps if any(frame := read_frame(step, origin))]
    if len(frames) > 1:
        raise beyond(origin, "post_processor", post)
    return frames[0] if frames else ([], [])


def _named(post: Any, role: str, origin: str) -> int:
    """The id of ["[CLS]", 101]."""
    pair = part(post, role, list, origin)
    if len(pair) != 2 or not is_id(pair[1]):
        raise beyond(origin, "post_processor", post)
    return pair[1]


def _template(post: Any, origin: str) -> Frame:
    """{"SpecialToken": {"id": name}} any number of times, and one {"Sequence": ...}."""
    special = part(post, "special_tokens", dict, origin)
    around: Frame = ([], [])
    at = 0
    for piece in part(post, "single", list, origin):
        if isinstance(piece, dict) and "Sequence" in piece:
            at += 1
            continue
        marker = part(piece, "SpecialToken", dict, origin)
        name = part(marker, "id", str, origin)
        entry = part(special, name, dict, origin)
        ids = part(entry, "ids", list, origin)
        if at > 1 or not all(map(is_id, ids)):
            raise beyond(origin, "post_processor", post)
        around[at].extend(ids)
    if at != 1:
        raise beyond(origin, "post_processor", post)
    return around
