"""Checkpoint directories: opened by one door, ready to use, and written."""

from .clip import CLIP
from .language_model import LanguageModel
from .memory import EpisodicMemory, FadingWarning
from .opening import CONFIG, FAMILIES, directory_of, load, opened
from .quantizing import quantize
from .remembering import Remembering
from .replies import MemoryReply, Retrieval
from .saving import save
from .shipped import shipped as shipped_model
from .vision_model import VisionModel
from .vlm import VLM

__all__ = [
    "CLIP",
    "CONFIG",
    "FAMILIES",
    "VLM",
    "EpisodicMemory",
    "FadingWarning",
    "LanguageModel",
    "MemoryReply",
    "Remembering",
    "Retrieval",
    "VisionModel",
    "directory_of",
    "load",
    "opened",
    "quantize",
    "save",
    "shipped_model",
]
