"""Files of fewer bits: how other programs lay them out, read and written to the bit."""

from .opening import load

__all__ = ["load"]
