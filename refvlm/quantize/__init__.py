"""Fewer bits: numbers on a grid, in code books of sixteen, in three values.

    scale, zero_point = quantize.affine_parameters(x.min(), x.max(), "uint8")
    codes = quantize.quantize_linear(x, scale, zero_point)
    quantize.dequantize_linear(codes, scale, zero_point)        # x, to half a step

Operators are named and called as ONNX has them where it does. Files of other programs
keep to the layouts of bitsandbytes and of MLX, to the bit.
"""

from .affine import (
    Quantized,
    dequantize_linear,
    dynamic_quantize_linear,
    quantize_linear,
)
from .calibration import (
    Range,
    min_max_range,
    moving_average_range,
    mse_range,
    percentile_range,
)
from .code_books import code_book_dequantize, code_book_quantize
from .double_quantization import double_dequantize, double_quantize, dynamic_map
from .error import Noise, code_entropy, quantization_error, rounding_noise
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
from .group_wise import group_dequantize, group_quantize
from .histograms import Histogram, entropy_range, histogram, narrowed_range
from .integer_products import (
    conv_integer,
    matmul_integer,
    qlinear_conv,
    qlinear_matmul,
)
from .matrices import FourBit, GroupWise, Ternary
from .normal_float import (
    fp4_dequantize,
    fp4_levels,
    fp4_quantize,
    linear_4bit,
    nf4_dequantize,
    nf4_levels,
    nf4_quantize,
    normal_quantile,
)
from .number_formats import (
    FORMATS,
    FloatFormat,
    IntegerFormat,
    integer_format,
    number_format,
)
from .packed import Half, Packed
from .packing import (
    pack_bits,
    pack_nibbles,
    pack_trits,
    unpack_bits,
    unpack_nibbles,
    unpack_trits,
)
from .ranges import Grid, affine_parameters, symmetric_parameters
from .schemes import SCHEMES, Scheme
from .small_floats import (
    float4_bits,
    float4_from_bits,
    float8_bits,
    float8_from_bits,
    round_to_float4,
    round_to_float4_vjp,
    round_to_float8,
    round_to_float8_vjp,
)
from .ternary import ternary_dequantize, ternary_linear, ternary_quantize
from .widths import Assignment, assign_by_greed, assign_widths, sensitivities
