"""A raw stream in a `tokenizer.json`: normalizer, pre_tokenizer, decoder, and back.

There are two ways to write it. In the older, LLaMA's, the normalizer puts `▁` in front
and in place of spaces; in the newer, a step of its own does, Metaspace.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from ..documents import beyond
from ..normal_forms import Form
from .stream import SPACE, SPELLED, Prefix, RawStream

Step = dict[str, Any]

SINGLE = {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}
PREPEND = {"type": "Prepend", "prepend": SPACE}
SHOWN = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
DECODING = {
    "Replace": {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
    "ByteFallback": {"type": "ByteFallback"},
    "Fuse": {"type": "Fuse"},
    "Strip": {"type": "Strip", "content": " ", "start": 1, "stop": 0},
}


def describe_stream(stream: RawStream) -> dict[str, Step | None]:
    """The three steps, by name.

    >>> describe_stream(RawStream(form="NFKC"))["normalizer"]
    {'type': 'NFKC'}
    """
    older = stream.prefix == "twice"
    steps: list[Step] = [{"type": "Nmt"}] if stream.nmt else []
    steps += [{"type": stream.form}] if stream.form else []
    steps += [SINGLE] if stream.collapse else []
    steps += [PREPEND, SHOWN] if older else []
    shown = {"type": "Metaspace", "replacement": SPACE}
    scheme = "always" if older else stream.prefix
    decoders = [DECODING[name] for name in stream.decoding if name in DECODING]
    return {
        "normalizer": _together(steps, "normalizers"),
        "pre_tokenizer": None
        if older
        else {**shown, "prepend_scheme": scheme, "split": stream.cut},
        "decoder": _together(decoders, "decoders")
        or {**shown, "prepend_scheme": scheme, "split": True},
    }


def _together(steps, name):
    """No step, one, or a sequence of them."""
    if len(steps) > 1:
        return {"type": "Sequence", name: steps}
    return steps[0] if steps else None


def shows_spaces(document: Mapping[str, Any]) -> bool:
    """Whether a file has one of the two ways to make a space visible, by a glance."""
    steps = _apart(document.get("normalizer"), "normalizers")
    cutter = document.get("pre_tokenizer")
    metaspace = isinstance(cutter, dict) and cutter.get("type") == "Metaspace"
    return metaspace or SHOWN in steps


def read_stream(document: Mapping[str, Any], origin: str) -> RawStream:
    """The stream that a file describes; any other step is refused by name."""
    normalizer = document.get("normalizer")
    steps = _apart(normalizer, "normalizers")
    nmt = _take(steps, {"type": "Nmt"})
    form = next((f for f in get_args(Form) if _take(steps, {"type": f})), None)
    collapse = _take(steps, SINGLE)
    prepended, shown = _take(steps, PREPEND), _take(steps, SHOWN)
    if steps or (prepended and not shown):
        raise beyond(origin, "normalizer", normalizer)
    cutter = document.get("pre_tokenizer")
    prefix: Prefix
    if cutter is None and shown:
        prefix, cut = "twice" if prepended else "never", False
    elif isinstance(cutter, dict) and cutter.get("type") == "Metaspace" and not shown:
        prefix, cut = _metaspace(cutter, "pre_tokenizer", origin)
        if nmt and prefix == "first":
            raise beyond(origin, "pre_tokenizer", cutter)
    else:
        raise beyond(origin, "pre_tokenizer", cutter)
    decoding = _decoding(document.get("decoder"), prefix, origin)
    return RawStream(nmt, form, collapse, prefix, cut, decoding)


def _apart(step, name):
    """The steps of a sequence, as a list that can be taken from."""
    if isinstance(step, dict) and step.get("type") == "Sequence":
        several = step.get(name)
        return list(several) if isinstance(several, list) else [step]
    return [] if step is None else [step]


def _take(steps, wanted):
    """Whether the next step is this one; it is taken away."""
    found = steps[:1] == [wanted]
    del steps[: int(found)]
    return found


def _metaspace(step, name, origin):
    """(prefix, cut) of a Metaspace, which older files say in other words."""
    known = {"type", "replacement", "prepend_scheme", "split", "add_prefix_space"}
    prefix, cut = step.get("prepend_scheme", "always"), step.get("split", True)
    spaced = step.get("add_prefix_space")
    if (
        not step.keys() <= known | {"str_rep"}
        or step.get("replacement") != SPACE
        or prefix not in ("always", "first", "never")
        or not isinstance(cut, bool)
        or (spaced is not None and spaced is not True and prefix != "never")
    ):
        raise beyond(origin, name, step)
    return prefix, cut


def _decoding(decoder, prefix, origin):
    if isinstance(decoder, dict) and decoder.get("type") == "Metaspace":
        scheme, _ = _metaspace(decoder, "decoder", origin)
        if (scheme == "never") == (prefix == "never"):
            return ("Metaspace",)
    steps = _apart(decoder, "decoders")
    names = tuple(name for name in SPELLED for step in steps if step == DECODING[name])
    if not names or [DECODING[name] for name in names] != steps:
        raise beyond(origin, "decoder", decoder)
    return names
