"""Which layout a checkpoint is in: its config.json says so, or says nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ... import checkpoint
from ...checkpoint import CheckpointError, Weights


def load(directory: Path, document: Mapping[str, Any], dtype=np.float32) -> Weights:
    """`checkpoint.load`, with the matrices that are packed in few bits under their
    plain names, made when they are looked up.

    `document` is what the directory's config.json says.
    """
    for name in ("quantization_config", "quantization"):
        if document.get(name) is not None:
            raise CheckpointError(
                f"{directory / 'config.json'}: {name} is {document[name]!r:.60}, "
                "which is not implemented"
            )
    return checkpoint.load(directory, dtype=dtype)
