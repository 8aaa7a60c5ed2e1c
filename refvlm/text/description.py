"""`tokenizer.json`, for the tokenizer that is explained here: Qwen2's byte-level BPE.

It says each step by name: the normal form, the cut into words, the bytes, the merges,
and what turns tokens back into text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

# How Qwen2 cuts a text into words; a merge never crosses a cut. In order: an English
# contraction, a word with the one sign before it, a single digit, a run of signs, line
# ends, and spaces, of which the last is left to the word that follows.
QWEN2_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
    r"|[^\r\n\p{L}\p{N}]?\p{L}+"
    r"|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+"
    r"|\s+(?!\S)"
    r"|\s+"
)
FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")
SWITCHES = ("dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix")


def describe(
    vocabulary: Mapping[str, int],
    merges: Iterable[tuple[str, str]],
    markers: Iterable[str] = (),
) -> dict[str, Any]:
    """The object in a `tokenizer.json`; the markers are names in the vocabulary."""
    cut = {"type": "Split", "pattern": {"Regex": QWEN2_WORDS}, "behavior": "Isolated"}
    letters = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [added_token(vocabulary[name], name) for name in markers],
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {**cut, "invert": False},
                {**letters, "use_regex": False},
            ],
        },
        "post_processor": None,
        "decoder": {**letters, "add_prefix_space": True, "use_regex": True},
        "model": {
            "type": "BPE",
            **dict.fromkeys(SWITCHES),
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": dict(vocabulary),
            "merges": [list(pair) for pair in merges],
        },
    }


def added_token(token_id: int, content: str, special: bool = True, **flags: bool):
    """A marker as `tokenizer.json` lists it; what is not special is normalised too."""
    default = dict.fromkeys(FLAGS, False) | {"normalized": not special}
    fields = default | flags | {"special": special}
    return {"id": token_id, "content": content, **fields}


def framing(start: tuple[str, int], end: tuple[str, int]) -> dict[str, Any]:
    """The post-processor that puts a marker, given with its id, at either end."""

    def sequence(name: str, kind: int) -> dict[str, Any]:
        return {"Sequence": {"id": name, "type_id": kind}}

    first, last = ({"SpecialToken": {"id": n, "type_id": 0}} for n, _ in (start, end))
    return {
        "type": "TemplateProcessing",
        "single": [first, sequence("A", 0), last],
        "pair": [sequence("A", 0), sequence("B", 1)],
        "special_tokens": {
            name: {"id": name, "ids": [number], "tokens": [name]}
            for name, number in (start, end)
        },
    }
