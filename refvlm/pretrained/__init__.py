"""A checkpoint directory, ready to use, and how one is written."""

from .saving import save
from .vlm import VLM, load

__all__ = ["VLM", "load", "save"]
