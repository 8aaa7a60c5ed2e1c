"""Opening the tokenizer of a checkpoint directory, in either of its two layouts.

`tokenizer.json` describes everything. Older checkpoints, Apple's FastVLM among them,
have `vocab.json` (token -> id) and `merges.txt` (pairs to merge, best first), or, as
BERT, `vocab.txt` (a token in each line), and leave the rest to the name of a class in
`tokenizer_config.json`, or of the model in `config.json`; see `families`. In both
layouts, markers may stand in `added_tokens.json` and `tokenizer_config.json`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from ..checkpoint import is_there, read_json, read_text
from .bpe.byte_level import check_alphabet
from .description import FLAGS
from .documents import is_id
from .engines.engine import Engine
from .errors import TokenizerError, one_error
from .families import bert, check_bert, family, rewritten
from .tokenizer import Tokenizer, open_engine

Marker = tuple[int, dict[str, Any]]
FILE_LIMIT = 64 << 20  # Qwen2's tokenizer.json has 7 MB
SENTENCE_PIECE = ("tokenizer.model", "spiece.model", "sentencepiece.bpe.model")


def load_tokenizer(directory: str | Path) -> Tokenizer:
    """The tokenizer in a directory: `tokenizer.json`, else `vocab.json` + `merges.txt`,
    else `vocab.txt`.

    Source: [Cortes] 7.1. Oracle: transformers.Qwen2Tokenizer, GPT2Tokenizer,
    CLIPTokenizer and BertTokenizer.
    """
    directory = Path(directory)
    description = directory / "tokenizer.json"
    vocabulary, merges = directory / "vocab.json", directory / "merges.txt"
    lines = directory / "vocab.txt"
    with one_error(directory):
        config = _read_object(directory / "tokenizer_config.json")
        if is_there(description):
            text = read_text(description, FILE_LIMIT, TokenizerError)
            with one_error(description):
                engine = open_engine(text, str(description))
        elif is_there(vocabulary) and is_there(merges):
            ids, pairs = _read_vocabulary(vocabulary), _read_merges(merges)
            model = _read_object(directory / "config.json")
            described = family(directory, ids, config, model)(ids, pairs, config)
            engine = open_engine(json.dumps(described), str(directory))
        elif is_there(lines):
            ids = _read_lines(lines)
            model = _read_object(directory / "config.json")
            check_bert(directory, ids, config, model)
            engine = open_engine(json.dumps(bert(ids, config)), str(directory))
        else:
            raise _lack(directory)
        engine = _add_markers(engine, _read_markers(directory, config), directory)
        tokenizer = Tokenizer(engine, str(directory))
        if tokenizer.is_byte_level:
            check_alphabet(engine.token_id, directory)
    return tokenizer


def _lack(directory: Path) -> TokenizerError:
    """What to say of a directory without a tokenizer that is read here."""
    lacks = "no tokenizer.json, nor vocab.json with merges.txt, nor vocab.txt"
    for name in SENTENCE_PIECE:
        if is_there(directory / name):
            return TokenizerError(
                f"{directory} has {name}, which is not read here, and {lacks}. "
                + rewritten(directory, " (with sentencepiece and protobuf installed)")
            )
    return TokenizerError(
        f"{directory} has {lacks}: download the tokenizer's files too"
    )


def _read_vocabulary(path: Path) -> dict[str, int]:
    ids = read_json(path, FILE_LIMIT, TokenizerError)
    if not all(is_id(token_id) for token_id in ids.values()):
        raise TokenizerError(f"{path} must give each token a whole number as its id")
    if len(set(ids.values())) != len(ids):
        raise TokenizerError(f"{path} gives two tokens the same id")
    return ids


def _read_lines(path: Path) -> dict[str, int]:
    """One token in each line; its number, from 0, is the id."""
    text = read_text(path, FILE_LIMIT, TokenizerError).replace("\r\n", "\n")
    tokens = text.removesuffix("\n").split("\n")
    ids = {token: number for number, token in enumerate(tokens)}
    if len(ids) < len(tokens) or not all(tokens):
        raise TokenizerError(f"{path} has an empty line, or the same token twice")
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


def _read_object(path: Path) -> dict[str, Any]:
    """What a file says; nothing where it is not there."""
    return read_json(path, FILE_LIMIT, TokenizerError) if is_there(path) else {}


def _read_markers(
    directory: Path, config: dict[str, Any]
) -> list[tuple[int, dict[str, Any]]]:
    """(id, marker) pairs, from the two files that may name them."""
    markers = []
    path = directory / "added_tokens.json"
    if is_there(path):
        for content, token_id in read_json(path, FILE_LIMIT, TokenizerError).items():
            fields = {"content": content, "special": True, "normalized": False}
            markers.append(_marker(token_id, fields, path))
    path = directory / "tokenizer_config.json"
    described = config.get("added_tokens_decoder", {})
    if not isinstance(described, dict):
        raise TokenizerError(f"{path}: added_tokens_decoder is not an object")
    for key, fields in described.items():
        token_id = int(key) if re.fullmatch("[0-9]{1,9}", key) else None
        markers.append(_marker(token_id, fields, path))
    return markers


def _marker(token_id: Any, fields: Any, path: Path) -> Marker:
    if (
        not is_id(token_id)
        or not isinstance(fields, dict)
        or not isinstance(fields.get("content"), str)
        or not all(isinstance(fields.get(flag, False), bool) for flag in FLAGS)
    ):
        raise TokenizerError(f"{path} describes an added token that cannot be read")
    return token_id, {k: fields[k] for k in ("content", *FLAGS) if k in fields}


def _add_markers(engine: Engine, markers: list[Marker], directory: Path) -> Engine:
    """Add the markers that are not known; each must get the id it was trained as."""
    known = set(engine.markers.values())
    new = {token_id: marker for token_id, marker in markers if token_id not in known}
    if new:
        engine = engine.with_markers(sorted(new.items()))
    for token_id, marker in markers:
        found = engine.token_id(marker["content"])
        if found != token_id:
            raise TokenizerError(
                f"{directory}: the marker {marker['content']!r:.60} should have the id "
                f"{token_id}, not {found}: the tokenizer's files are of different "
                "checkpoints"
            )
    return engine
