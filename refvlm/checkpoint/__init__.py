"""Checkpoints: safetensors on the disk, a mapping of official names in the hand.

    weights = load("FastVLM-0.5B")                  # opens, checks, reads nothing
    expect(weights, {"model.norm.weight": (896,)})  # every misfit named at once
    layer = weights.scope("model.layers.0")         # a view, with shorter names
    layer["self_attn.q_proj.weight"]                # read now, and kept

Files come from outside and are not trusted: the safetensors library checks sizes and
offsets before anything is allocated, and pickles are never opened.
"""

from .directories import lack
from .documents import is_there, read_json, read_text
from .errors import CheckpointError, DamagedFileError, MissingTensorError
from .loading import load
from .locking import locked
from .saving import Raw, save, write_bytes, write_protected, write_text
from .strict import expect
from .weights import Weights

__all__ = [
    "CheckpointError",
    "DamagedFileError",
    "MissingTensorError",
    "Raw",
    "Weights",
    "expect",
    "is_there",
    "lack",
    "load",
    "locked",
    "read_json",
    "read_text",
    "save",
    "write_bytes",
    "write_protected",
    "write_text",
]
