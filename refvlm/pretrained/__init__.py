"""Checkpoint directories: opened by one door, ready to use, and written."""

from .clip import CLIP
from .opening import CONFIG, FAMILIES, load, opened
from .saving import save
from .shipped import shipped as shipped_model
from .vlm import VLM

__all__ = [
    "CLIP",
    "CONFIG",
    "FAMILIES",
    "VLM",
    "load",
    "opened",
    "save",
    "shipped_model",
]
