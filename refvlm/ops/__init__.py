"""Operators: plain functions, arrays in and arrays out, each with its derivative."""

from .activation import (
    gelu,
    gelu_vjp,
    hardsigmoid,
    hardsigmoid_vjp,
    hardswish,
    hardswish_vjp,
    relu,
    relu_vjp,
    sigmoid,
    sigmoid_vjp,
    silu,
    silu_vjp,
    swish,
    swish_vjp,
    tanh,
    tanh_vjp,
)
from .affine import (
    embedding,
    embedding_vjp,
    linear,
    linear_vjp,
    matmul,
    matmul_vjp,
)
from .attention import (
    attention_weights,
    attention_weights_vjp,
    scaled_dot_product_attention,
    scaled_dot_product_attention_vjp,
)
from .batch_normalization import batch_norm, batch_norm_statistics, batch_norm_vjp
from .compositions import (
    add_scaled,
    convolutional_stem,
    gated_linear,
    pointwise_mlp,
)
from .convolution import conv2d, conv2d_vjp, conv3d, conv3d_vjp, convolve2d
from .elementwise_losses import (
    binary_cross_entropy_with_logits,
    binary_cross_entropy_with_logits_vjp,
    kl_div,
    kl_div_vjp,
    mse_loss,
    mse_loss_vjp,
    smooth_l1_loss,
    smooth_l1_loss_vjp,
)
from .groups import group_sum, group_sum_vjp
from .linear_algebra import logdet, logdet_vjp, solve, solve_vjp
from .losses import cross_entropy, cross_entropy_vjp, nll_loss, nll_loss_vjp
from .low_rank_inverse import sherman_morrison, woodbury
from .masks import (
    additive_mask,
    boolean_mask,
    causal_mask,
    combine_masks,
    padding_mask,
    prefix_mask,
)
from .normalization import (
    channel_layer_norm,
    channel_layer_norm_vjp,
    group_norm,
    group_norm_vjp,
    instance_norm,
    layer_norm,
    layer_norm_vjp,
    rms_norm,
    rms_norm_vjp,
)
from .patch_tokens import (
    flatten_maps,
    patch_embedding,
    patchify,
    patchify_vjp,
    prepend_tokens,
    unpatchify,
    unpatchify_vjp,
)
from .patches import fold, fold_vjp, unfold, unfold_vjp
from .pooling import (
    adaptive_avg_pool2d,
    adaptive_avg_pool2d_vjp,
    avg_pool2d,
    avg_pool2d_vjp,
    global_avg_pool2d,
    global_avg_pool2d_vjp,
    max_pool2d,
    max_pool2d_vjp,
)
from .position import (
    add_positions,
    apply_rotary,
    apply_rotary_vjp,
    interpolate_positions,
    position_frequencies,
    position_shift_matrix,
    rotary_angles,
    sinusoidal_positions,
)
from .probability import (
    exp,
    exp_vjp,
    log,
    log_softmax,
    log_softmax_vjp,
    log_vjp,
    logsumexp,
    logsumexp_vjp,
    softmax,
    softmax_vjp,
)
from .pseudo_inverse import (
    ben_israel_cohen,
    ben_israel_cohen_residuals,
    pinv,
    pinv_vjp,
    safe_scale,
)
from .recurrent import lstm, lstm_cell, lstm_cell_vjp, lstm_vjp
from .regularization import drop_path, dropout, dropout_mask
from .rope_scaling import (
    dynamic_frequencies,
    linear_frequencies,
    llama3_frequencies,
    scaled_rotary_angles,
    yarn_attention_factor,
    yarn_frequencies,
)
from .rounding import (
    bfloat16_bits,
    bfloat16_from_bits,
    round_to_bfloat16,
    round_to_bfloat16_vjp,
    round_to_float16,
    round_to_float16_vjp,
)
from .selection import (
    argmax,
    gather,
    gather_vjp,
    masked_mean,
    masked_mean_vjp,
    topk,
    topk_indices,
)
from .similarity import (
    cosine_similarity,
    cosine_similarity_matrix,
    cosine_similarity_vjp,
    normalize,
    normalize_vjp,
)
from .special import erf, erf_vjp
from .transposed import conv_transpose2d, conv_transpose2d_vjp

__all__ = [name for name, value in vars().items() if callable(value)]
