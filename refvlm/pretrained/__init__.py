"""Checkpoint directories: opened by one door, ready to use, and written."""

from .clip import CLIP
from .opening import FAMILIES, load
from .saving import save
from .shipped import shipped as shipped_model
from .vlm import VLM

__all__ = ["CLIP", "FAMILIES", "VLM", "load", "save", "shipped_model"]
