"""PyTorch's function for each operator, or the reason why there is none."""

import math

import numpy as np


def functional(name):
    """`torch.nn.functional.<name>`, as most are called."""

    def of_this_name(torch):
        if not hasattr(torch.nn.functional, name):
            raise LookupError(
                f"PyTorch has no torch.nn.functional.{name}: give {name} a line in "
                "tests/ops/counterparts.py, in COUNTERPARTS or WITHOUT_COUNTERPART"
            )
        return getattr(torch.nn.functional, name)

    return of_this_name


def plain(name):
    return lambda torch: getattr(torch, name)


def attention(torch):
    """PyTorch's by its formula: its CPU kernel divides an integer by no heads."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    def attend(*args, **options):
        with sdpa_kernel(SDPBackend.MATH):
            return torch.nn.functional.scaled_dot_product_attention(*args, **options)

    return attend


def along_channels(torch):
    def norm(x, weight=None, bias=None, eps=1e-5):
        last = x.permute(0, 2, 3, 1)
        out = torch.nn.functional.layer_norm(last, last.shape[3:], weight, bias, eps)
        return out.permute(0, 3, 1, 2)

    return norm


def by_halves(torch):
    def rotate(x, cos, sin, interleaved=False):
        a, b = (x[..., ::2], x[..., 1::2]) if interleaved else x.chunk(2, -1)
        turned = a * cos - b * sin, b * cos + a * sin
        if interleaved:
            return torch.stack(turned, -1).flatten(-2)
        return torch.cat(turned, -1)

    return rotate


def two_layers(torch):
    conv, gelu = torch.nn.functional.conv2d, torch.nn.functional.gelu
    return lambda x, w1, b1, w2, b2: conv(gelu(conv(x, w1, b1)), w2, b2)


def gated(torch):
    linear, silu = torch.nn.functional.linear, torch.nn.functional.silu
    return lambda x, gate, up: silu(linear(x, gate)) * linear(x, up)


def every_pair(torch):
    cosine = torch.nn.functional.cosine_similarity
    return lambda a, b, eps=1e-8: cosine(a[..., None, :], b[..., None, :, :], -1, eps)


def means_of_planes(torch):
    return lambda x: x.mean((-2, -1))


def into_patches(torch):
    def patchify(x, patch_size, order="chw"):
        unfold = torch.nn.functional.unfold
        rows = unfold(x, patch_size, stride=patch_size).transpose(-1, -2)
        if order == "hwc":
            rows = rows.unflatten(-1, (x.shape[-3], -1)).transpose(-1, -2).flatten(-2)
        return rows

    return patchify


def out_of_patches(torch):
    def unpatchify(patches, output_size, patch_size, order="chw"):
        if order == "hwc":
            channels = patches.shape[-1] // math.prod(np.broadcast_to(patch_size, 2))
            patches = patches.unflatten(-1, (-1, channels)).mT.flatten(-2)
        fold = torch.nn.functional.fold
        return fold(patches.mT, output_size, patch_size, stride=patch_size)

    return unpatchify


def strided(torch):
    def embed(x, weight, bias=None):
        stride = weight.shape[2:]
        maps = torch.nn.functional.conv2d(x, weight, bias, stride=stride)
        return maps.flatten(-2).transpose(-1, -2)

    return embed


def put_before(torch):
    def prepend(tokens, prefix):
        first = prefix.expand(*tokens.shape[:-2], *prefix.shape)
        return torch.cat([first, tokens], -2)

    return prepend


def sums_of_groups(torch):
    def group_sum(x, groups, num_groups):
        lead = torch.broadcast_shapes(x.shape[:-2], groups.shape[:-1])
        x = x.expand(*lead, *x.shape[-2:])
        groups = groups.expand(*lead, groups.shape[-1])
        places = groups[..., None].expand(x.shape)
        sums = x.new_zeros(*lead, num_groups, x.shape[-1])
        return sums.scatter_add(-2, places, x)

    return group_sum


def one_step(torch):
    def cell(x, state, weight_ih, weight_hh, bias_ih=None, bias_hh=None):
        after = torch.lstm_cell(x, tuple(state), weight_ih, weight_hh, bias_ih, bias_hh)
        return torch.stack(after)

    return cell


def every_step(torch):
    """torch.lstm; where it reads backwards, the second half of both ways."""
    pack = torch.nn.utils.rnn.pack_padded_sequence
    pad = torch.nn.utils.rnn.pad_packed_sequence

    def layer(
        x,
        weight_ih,
        weight_hh,
        bias_ih=None,
        bias_hh=None,
        state=None,
        reverse=False,
        lengths=None,
    ):
        if state is None:
            state = x.new_zeros(2, x.shape[0], weight_hh.shape[-1])
        if bias_ih is None and bias_hh is not None:
            bias_ih = torch.zeros_like(bias_hh)
        if bias_hh is None and bias_ih is not None:
            bias_hh = torch.zeros_like(bias_ih)
        weights = [w for w in (weight_ih, weight_hh, bias_ih, bias_hh) if w is not None]
        ways = 2 if reverse else 1
        start = tuple(each[None].expand(ways, *each.shape) for each in state)
        options = len(weights) == 4, 1, 0.0, False, reverse
        if lengths is None:
            out = torch.lstm(x, start, weights * ways, *options, True)[0]
        else:
            packed = pack(x, lengths, batch_first=True, enforce_sorted=False)
            start = tuple(each[:, packed.sorted_indices] for each in start)
            data = packed.data, packed.batch_sizes, start, weights * ways
            packed = packed._replace(data=torch.lstm(*data, *options)[0])
            out = pad(packed, batch_first=True, total_length=x.shape[1])[0]
        return out[..., -weight_hh.shape[-1] :]

    return layer


# PyTorch's function, where it is not torch.nn.functional's of the same name.
COUNTERPARTS = {
    **{name: plain(name) for name in ("argmax", "erf", "exp", "gather", "logsumexp")},
    **{
        name: plain(name)
        for name in ("log", "logdet", "matmul", "sigmoid", "tanh", "topk")
    },
    "add_scaled": lambda torch: lambda x, branch, gamma: x + gamma * branch,
    "apply_rotary": by_halves,
    "ben_israel_cohen": lambda torch: torch.linalg.pinv,
    "bfloat16_bits": lambda torch: lambda x: x.bfloat16().view(torch.uint16),
    "channel_layer_norm": along_channels,
    "cosine_similarity_matrix": every_pair,
    "flatten_maps": lambda torch: lambda maps: maps.flatten(-2).transpose(-1, -2),
    "gated_linear": gated,
    "global_avg_pool2d": means_of_planes,
    "group_sum": sums_of_groups,
    "lstm": every_step,
    "lstm_cell": one_step,
    "log_softmax": lambda torch: lambda scores, dim=-1: scores.log_softmax(dim),
    "patch_embedding": strided,
    "patchify": into_patches,
    "pinv": lambda torch: torch.linalg.pinv,
    "pointwise_mlp": two_layers,
    "prepend_tokens": put_before,
    "round_to_bfloat16": lambda torch: lambda x: x.bfloat16().to(x.dtype),
    "round_to_float16": lambda torch: lambda x: x.half().to(x.dtype),
    "scaled_dot_product_attention": attention,
    "solve": lambda torch: torch.linalg.solve,
    "softmax": lambda torch: lambda scores, dim=-1: scores.softmax(dim),
    "swish": lambda torch: lambda x, beta=1.0: x * torch.sigmoid(beta * x),
    "unpatchify": out_of_patches,
}

NO_ARRAY = "nothing floating goes in"
NOISE = "random: its mask is a product"
WITHOUT_COUNTERPART = {
    "additive_mask": NO_ARRAY,
    "bfloat16_from_bits": NO_ARRAY,
    "causal_mask": NO_ARRAY,
    "combine_masks": "masks hold 0 and -inf, which its own laws ask of it",
    "boolean_mask": "masks hold 0 and -inf, which its own laws ask of it",
    "dropout": NOISE,
    "dropout_mask": NO_ARRAY,
    "drop_path": NOISE,
    "padding_mask": NO_ARRAY,
    "position_frequencies": NO_ARRAY,
    "position_shift_matrix": NO_ARRAY,
    "prefix_mask": "a mask holds 0 and 1",
    "dynamic_frequencies": NO_ARRAY,
    "linear_frequencies": NO_ARRAY,
    "llama3_frequencies": NO_ARRAY,
    "rotary_angles": NO_ARRAY,
    "safe_scale": "two of NumPy's norms, to which it is compared",
    "sherman_morrison": "PyTorch has none; it is compared to the inverse",
    "woodbury": "PyTorch has none; it is compared to the inverse",
    "scaled_rotary_angles": "two products, and cosines",
    "yarn_attention_factor": NO_ARRAY,
    "yarn_frequencies": NO_ARRAY,
    "sinusoidal_positions": NO_ARRAY,
    "add_positions": "a sum",
    "attention_weights": "PyTorch keeps them to itself; the attention is compared",
    "ben_israel_cohen_residuals": "a record of steps that PyTorch does not take",
    "batch_norm_statistics": "PyTorch writes them into its argument",
    "convolutional_stem": "three convolutions, each compared",
    "convolve2d": "conv2d of a kernel that is flipped",
    "instance_norm": "group_norm of as many groups as channels, or batch_norm",
    "interpolate_positions": "a function of timm, which takes finite tables",
    "masked_mean": "its own laws say what is hidden",
    "topk_indices": "of equal entries PyTorch promises no order; topk has the values",
}
