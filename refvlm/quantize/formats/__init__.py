"""Files of fewer bits: how other programs lay them out, read and written to the bit."""

from .opening import is_turned, layout, load
from .writing import configuration, outline, tensors

__all__ = ["configuration", "is_turned", "layout", "load", "outline", "tensors"]
