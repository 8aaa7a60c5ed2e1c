"""Operators: plain functions, arrays in and arrays out, each with its derivative."""

from .attention import (
    attention_weights,
    scaled_dot_product_attention,
    scaled_dot_product_attention_vjp,
)
from .convolution import conv2d, conv2d_by_definition, conv2d_vjp
from .normalization import batch_norm, batch_norm_statistics, batch_norm_vjp
from .regularization import drop_path, dropout, dropout_mask

__all__ = [name for name in dir() if not name.startswith("_")]
