"""Checkpoint directories: opened by one door, ready to use, and written."""

from .clip import CLIP
from .language_model import LanguageModel
from .opening import CONFIG, FAMILIES, directory_of, load, opened
from .quantizing import quantize
from .saving import save
from .shipped import shipped as shipped_model
from .vision_model import VisionModel
from .vlm import VLM

__all__ = [
    "CLIP",
    "CONFIG",
    "FAMILIES",
    "VLM",
    "LanguageModel",
    "VisionModel",
    "directory_of",
    "load",
    "opened",
    "quantize",
    "save",
    "shipped_model",
]
