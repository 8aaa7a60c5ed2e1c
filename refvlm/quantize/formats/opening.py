"""Which layout a checkpoint is in: its config.json says so, or says nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ... import checkpoint
from ...checkpoint import CheckpointError, Weights
from ...checkpoint.errors import quoted
from ...checkpoint.stored import StoredTensor
from ..packed import Half, Packed
from . import bitsandbytes, mlx, own
from .parts import Turned
from .refusals import check_plain, refused

Reader = Callable[[Weights, Mapping[str, Any], str, Any], Weights]
READERS: dict[str, Reader] = {
    "bitsandbytes": bitsandbytes.read,
    "mlx": mlx.read,
    own.METHOD: own.read,
}


def load(directory: Path, document: Mapping[str, Any], dtype=np.float32) -> Weights:
    """`checkpoint.load`, with the matrices that are packed in few bits under their
    plain names, made when they are looked up.

    What else such a file stores as matrices of sixteen bits, its embeddings, stays so
    in memory. `document` is what the directory's config.json says.
    """
    source = str(directory / "config.json")
    method, settings = layout(document, source)
    weights = checkpoint.load(directory, dtype=dtype)
    if method is None:
        check_plain(weights, weights.origin, source)
        return weights
    weights = READERS[method](weights, settings, source, dtype)
    matrices = {n: weights.tensor(n) for n in filter(is_turned(document), weights)}
    packed = {n: m for n, m in matrices.items() if isinstance(m, Packed)}
    weights = weights.add({name: Turned(matrix) for name, matrix in packed.items()})
    tables = {name: _half(weights.tensor(name), dtype) for name in weights}
    return weights.add({name: table for name, table in tables.items() if table})


def _half(tensor, dtype) -> Half | None:
    """A matrix that the file stores in sixteen bits, kept in them."""
    is_stored = isinstance(tensor, StoredTensor) and len(tensor.shape) == 2
    return Half(tensor, dtype) if is_stored and tensor.kind in ("F16", "BF16") else None


def is_turned(document: Mapping[str, Any]) -> Callable[[str], bool]:
    """Which matrices of a model are packed as their transposes: GPT-2's lie the other
    way round than everyone else's, and are turned before they are packed."""
    if document.get("model_type") != "gpt2":
        return lambda name: False
    return lambda name: re.search(r"\.c_(attn|fc|proj)\.weight$", name) is not None


def layout(
    document: Mapping[str, Any], source: str
) -> tuple[str | None, Mapping[str, Any]]:
    """(the program whose layout it is or None, what config.json says of it)."""
    said = {
        name: document[name]
        for name in ("quantization", "quantization_config")
        if document.get(name) is not None
    }
    for name, settings in said.items():
        if not isinstance(settings, Mapping):
            raise CheckpointError(
                f"{source}: {name} is {quoted(settings, 60)}, not an object: download "
                "the file again"
            )
    if not said:
        return None, {}
    if len(said) == 2 and said["quantization"] != said["quantization_config"]:
        raise CheckpointError(
            f"{source}: quantization and quantization_config say different things of "
            "the same weights: download the file again"
        )
    settings = next(iter(reversed(said.values())))
    method = settings.get("quant_method")
    if method is None and ("quantization" in said or "group_size" in settings):
        method = "mlx"
    if method is None and settings.get("load_in_4bit") is not None:
        method = "bitsandbytes"  # as it was saved before methods had names
    if not isinstance(method, str) or method not in READERS:
        raise refused(method, source)
    return method, settings
