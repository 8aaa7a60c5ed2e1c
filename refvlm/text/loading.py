"""Opening the tokenizer of a checkpoint directory, in either of its two layouts.

`tokenizer.json` describes everything. Older checkpoints, Apple's FastVLM among them,
have `vocab.json` (token -> id) and `merges.txt` (pairs to merge, best first), and leave
the rest to the name of the model: here, Qwen2's. In both, markers may stand in
`added_tokens.json` and `tokenizer_config.json`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers

from ..checkpoint import is_there, read_json, read_text
from .byte_level import BYTE_OF
from .tokenizer import Tokenizer, TokenizerError, one_error

FILE_LIMIT = 64 << 20  # Qwen2's tokenizer.json has 7 MB
LARGEST_ID = 1 << 24

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


def load_tokenizer(directory: str | Path) -> Tokenizer:
    """The tokenizer in a directory: `tokenizer.json`, else `vocab.json` + `merges.txt`.

    Source: [Cortes] 7.1. Oracle: transformers.Qwen2Tokenizer.
    """
    directory = Path(directory)
    description = directory / "tokenizer.json"
    vocabulary, merges = directory / "vocab.json", directory / "merges.txt"
    with one_error(directory):
        if is_there(description):
            text = read_text(description, FILE_LIMIT, TokenizerError)
            with one_error(description):
                backend = tokenizers.Tokenizer.from_str(text)
        elif is_there(vocabulary) and is_there(merges):
            ids = _read_vocabulary(vocabulary)
            backend = qwen2_backend(ids, _read_merges(merges))
        else:
            raise TokenizerError(
                f"{directory} has no tokenizer.json, nor vocab.json with merges.txt: "
                "download the tokenizer's files too"
            )
        _add_markers(backend, _read_markers(directory), directory)
        tokenizer = Tokenizer(backend, str(directory))
        if tokenizer.is_byte_level:
            _check_alphabet(backend, directory)
    return tokenizer


def qwen2_backend(
    ids: dict[str, int], merges: list[tuple[str, str]]
) -> tokenizers.Tokenizer:
    """Byte-level BPE with Qwen2's normaliser and cuts."""
    backend = tokenizers.Tokenizer(models.BPE(vocab=ids, merges=merges))
    backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2_WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    return backend


def _read_vocabulary(path: Path) -> dict[str, int]:
    ids = read_json(path, FILE_LIMIT, TokenizerError)
    if not all(_is_id(token_id) for token_id in ids.values()):
        raise TokenizerError(f"{path} must give each token a whole number as its id")
    if len(set(ids.values())) != len(ids):
        raise TokenizerError(f"{path} gives two tokens the same id")
    return ids


def _read_merges(path: Path) -> list[tuple[str, str]]:
    lines = read_text(path, FILE_LIMIT, TokenizerError).splitlines()
    if not lines:
        raise TokenizerError(f"{path} is empty: download it again")
    merges = []
    for number, line in enumerate(lines, 1):
        if not line or (number == 1 and line.startswith("#version")):
            continue
        pair = line.split(" ")
        if len(pair) != 2 or not all(pair):
            raise TokenizerError(f"{path}, line {number}: a merge is two tokens")
        merges.append((pair[0], pair[1]))
    return merges


def _read_markers(directory: Path) -> list[tuple[int, AddedToken]]:
    """(id, marker) pairs, from the two files that may name them."""
    markers = []
    path = directory / "added_tokens.json"
    if is_there(path):
        for content, token_id in read_json(path, FILE_LIMIT, TokenizerError).items():
            fields = {"content": content, "special": True, "normalized": False}
            markers.append(_marker(token_id, fields, path))
    path = directory / "tokenizer_config.json"
    if is_there(path):
        config = read_json(path, FILE_LIMIT, TokenizerError)
        described = config.get("added_tokens_decoder", {})
        if not isinstance(described, dict):
            raise TokenizerError(f"{path}: added_tokens_decoder is not an object")
        for key, fields in described.items():
            token_id = int(key) if re.fullmatch("[0-9]{1,9}", key) else None
            markers.append(_marker(token_id, fields, path))
    return markers


def _marker(token_id: Any, fields: Any, path: Path) -> tuple[int, AddedToken]:
    flags = ("special", "normalized", "lstrip", "rstrip", "single_word")
    if (
        not _is_id(token_id)
        or not isinstance(fields, dict)
        or not isinstance(fields.get("content"), str)
        or not all(isinstance(fields.get(flag, False), bool) for flag in flags)
    ):
        raise TokenizerError(f"{path} describes an added token that cannot be read")
    given = {flag: fields[flag] for flag in flags if flag in fields}
    return token_id, AddedToken(fields["content"], **given)


def _is_id(token_id: Any) -> bool:
    return type(token_id) is int and 0 <= token_id < LARGEST_ID


def _add_markers(
    backend: tokenizers.Tokenizer,
    markers: list[tuple[int, AddedToken]],
    directory: Path,
) -> None:
    """Add the markers that are not known; each must get the id it was trained as."""
    known = backend.get_added_tokens_decoder()
    for token_id, marker in sorted(markers, key=lambda pair: pair[0]):
        if token_id not in known:
            backend.add_tokens([marker])
    for token_id, marker in markers:
        found = backend.token_to_id(marker.content)
        if found != token_id:
            raise TokenizerError(
                f"{directory}: the marker {marker.content!r:.60} should have the id "
                f"{token_id}, not {found}: the tokenizer's files are of different "
                "checkpoints"
            )


def _check_alphabet(backend: tokenizers.Tokenizer, directory: Path) -> None:
    """Without a token for some byte, the texts that have it would lose it silently."""
    absent = [letter for letter in BYTE_OF if backend.token_to_id(letter) is None]
    if absent:
        raise TokenizerError(
            f"{directory}: the vocabulary has no token for {len(absent)} of the 256 "
            f"bytes, {absent[0]!r} among them: it is damaged"
        )
