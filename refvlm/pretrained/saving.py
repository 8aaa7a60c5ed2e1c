"""A checkpoint directory, written so that `load`, and transformers, can open it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .. import checkpoint, text
from ..text.subwords import Subwords

if TYPE_CHECKING:
    import tokenizers


def save(
    directory: str | Path,
    tensors: Mapping[str, np.ndarray],
    tokenizer: text.Tokenizer | Subwords | tokenizers.Tokenizer,
    **documents: Mapping,
) -> None:
    """Write a checkpoint directory that `load`, and transformers, can open.

    `documents` are its JSON files: `config={...}` becomes config.json. `load` wants
    config and preprocessor_config. Each file is written whole, or not at all.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    checkpoint.save(directory / "model.safetensors", tensors)
    text.save_tokenizer(directory, tokenizer)
    for name, document in documents.items():
        described = json.dumps(document, indent=2) + "\n"
        checkpoint.write_text(directory / f"{name}.json", described)
