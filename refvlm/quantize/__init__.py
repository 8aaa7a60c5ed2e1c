"""Fewer bits: numbers on a grid, in code books of sixteen, in three values.

    scale, zero_point = quantize.affine_parameters(x.min(), x.max(), "uint8")
    codes = quantize.quantize_linear(x, scale, zero_point)
    quantize.dequantize_linear(codes, scale, zero_point)        # x, to half a step

Operators are named and called as ONNX has them where it does. Files of other programs
keep to the layouts of bitsandbytes and of MLX, to the bit.
"""

from .fake import (
    fake_quantize,
    fake_quantize_vjp,
    first_step,
    learnable_fake_quantize,
    learnable_fake_quantize_vjp,
    step_grad_factor,
    straight_through,
    straight_through_vjp,
)
