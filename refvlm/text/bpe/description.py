"""`tokenizer.json` of Qwen2's byte-level BPE: NFC, words, bytes, merges."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..description import Document, document

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
SWITCHES = ("dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix")
LETTERS: dict[str, Any] = {
    "type": "ByteLevel",
    "add_prefix_space": False,
    "trim_offsets": True,
}


def describe(
    vocabulary: Mapping[str, int],
    merges: Iterable[tuple[str, str]],
    markers: Iterable[str] = (),
) -> Document:
    """The object in a `tokenizer.json`; the markers are names in the vocabulary."""
    words = {"Regex": QWEN2_WORDS}
    cut = {"type": "Split", "pattern": words, "behavior": "Isolated", "invert": False}
    return document(
        bpe_model(vocabulary, merges),
        [(name, vocabulary[name]) for name in markers],
        normalizer={"type": "NFC"},
        pre_tokenizer={
            "type": "Sequence",
            "pretokenizers": [
                {**cut, "invert": False},
                {**LETTERS, "use_regex": False},
            ],
        },
        decoder={**LETTERS, "add_prefix_space": True, "use_regex": True},
    )


def bpe_model(
    vocabulary: Mapping[str, int], merges: Iterable[tuple[str, str]], **switches: Any
) -> dict[str, Any]:
    """A vocabulary and its merges, with every switch that the format has for them."""
    return {
        "type": "BPE",
        **dict.fromkeys(SWITCHES),
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": False,
        **switches,
        "vocab": dict(vocabulary),
        "merges": [list(pair) for pair in merges],
    }
