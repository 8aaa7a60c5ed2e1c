"""Where the trained models lie that come along: `shipped("clip-tiny")` is a folder."""

from __future__ import annotations

from pathlib import Path

WEIGHTS = Path(__file__).parents[2] / "weights"


def shipped(name: str = "fastvlm-tiny") -> Path:
    """The folder of a model that comes along, whether or not it is there."""
    return WEIGHTS / name
