"""Where the trained models lie that come along: `shipped("clip-tiny")` is a folder."""

from __future__ import annotations

from pathlib import Path

SHIPPED = "fastvlm-tiny", "clip-tiny", "llava-tiny", "textbook-tiny", "microvlm-tiny"
PACKAGE = Path(__file__).parents[1]
PLACES = PACKAGE / "weights", PACKAGE.parent / "weights"  # a wheel's, a checkout's


def shipped(name: str = "fastvlm-tiny") -> Path:
    """The folder of a model that comes along, whether or not it is there."""
    return next((place for place in PLACES if place.is_dir()), PLACES[-1]) / name
