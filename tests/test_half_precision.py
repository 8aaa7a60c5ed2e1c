"""Half precision outside `ops`: objectives, optimisers, adapters and metrics.

What holds for every operator (tests/ops/test_every_sum.py) holds for every function
that a model is trained or judged with: float16 is computed in float32 and rounded once.
"""

import importlib
import inspect
import math
from typing import NamedTuple

import numpy as np
import pytest

from refvlm import quantize
from refvlm.half import in_single_precision
from refvlm.objectives.continual import fisher_diagonal
from refvlm.train.optimizers import AdamW

from .ops.test_every_sum import assert_rounded_once
from .spec import assert_close, cast, law, random_arrays

draw = random_arrays(8)
IDS = np.arange(3000).reshape(2, 1500) % 4
ZERO = np.zeros(3000)
SCORES, SMALL = draw(2, 1500, 4, scale=300.0), draw(3000, scale=1e-4)
TOKENS = draw(7, 3000), draw(4, 3000)
BOTTLENECK = {"down.weight": draw(4, 9, scale=9.0), "up.weight": draw(9, 4, scale=9.0)}
RIGHT = np.arange(3000) % 2
CALLS = {
    "objectives.language": {
        "language_modeling_loss": (SCORES, IDS),
        "perplexity": (SCORES / 300, IDS),
    },
    "objectives.masked": {"masked_language_modeling_loss": (SCORES, IDS)},
    "objectives.contrastive": {
        "info_nce": (draw(6, 500, scale=300.0), draw(6, 500, scale=300.0)),
        "clip_loss": (draw(6, 500, scale=1e-4), draw(6, 500, scale=1e-4)),
        "itc_loss": (draw(3000), draw(3000, 3)),
        "itm_loss": (draw(3000, scale=300.0), RIGHT),
        "clamp_logit_scale": (np.array(5.0),),
        "logit_scale": (np.array(2.5),),
    },
    "objectives.distillation": {
        "distillation_loss": (SCORES, SCORES[::-1], 4.0),
        "hint_loss": (draw(3000, 5, scale=300.0), draw(3000, 5, scale=300.0)),
    },
    "objectives.combining": {
        "weighted_sum": ([np.array(300.0), np.array(1e-4)], [0.75, 300.0]),
        "uncertainty_weighting": ([np.array(300.0)] * 3, np.array([5.0, -5.0, 0.1])),
    },
    "objectives.continual": {
        "ewc_penalty": ({"w": draw(3000, 2)}, {"w": draw(3000, 2)}, {"w": SMALL[:2]}),
        "fisher_diagonal": ([{"w": draw(5, scale=300.0)}, {"w": draw(5)}] * 1500,),
    },
    "objectives.remembering": {
        "memory_kl": (draw(3, 900), np.eye(3) / 4, draw(3, 900), np.eye(3)),
        "memory_kl_diagonal": (
            draw(3, 900),
            np.array([0.25, 1.0, 2.0]),
            draw(3, 900),
            np.array([1.0, 4.0, 0.5]),
        ),
        "addressing_kl": (draw(2, 3000), draw(3000)),
    },
    "train.optimizers": {
        "sgd_step": (SMALL, SMALL, 1e-3, 0.1),
        "momentum_step": (SMALL, SMALL, SMALL, 1e-3),
        "adam_step": (
            SMALL + 1,
            np.zeros(3000),
            np.zeros(3000),
            np.zeros(3000),
            1,
            1e-3,
        ),
        "adamw_step": (SMALL, SMALL, SMALL, SMALL**2, 7, 1e-3),
    },
    "train.clipping": {
        "global_norm": ({"w": draw(3000, 5, scale=300.0)},),
        "clip_by_global_norm": ({"w": draw(3000, 5, scale=300.0)}, 1.0),
    },
    "blocks.adapters": {
        "lora_linear": (
            *[draw(7, 3000), draw(4, 3000), None],
            draw(2, 3000),
            draw(4, 2),
            8,
        ),
        "lora_update": (draw(2, 5, scale=300.0), draw(4, 2), 8),
        "merge_lora": (draw(4, 5), draw(2, 5), draw(4, 2), 8),
        "unmerge_lora": (draw(4, 5), draw(2, 5), draw(4, 2), 8),
        "bottleneck_adapter": (draw(3, 9), BOTTLENECK),
    },
    "quantize.affine": {
        "quantize_linear": (draw(3000, scale=30.0), np.array(0.25), np.uint8(9)),
        "dequantize_linear": (RIGHT.astype(np.uint8), np.array(0.1), np.uint8(9)),
        "dynamic_quantize_linear": (np.arange(-100.0, 411.0),),
    },
    "quantize.error": {
        "quantization_error": (draw(3000, scale=300.0), draw(3000, scale=300.0)),
        "rounding_noise": (np.array(300.0),),
    },
    "quantize.ranges": {
        "affine_parameters": (np.array([-300.0, -1.0]), np.array([6e4, 1e-4])),
        "symmetric_parameters": (np.array([300.0, 6e4, 3.0]),),
    },
    "quantize.small_floats": {
        "round_to_float8": (draw(3000, scale=300.0),),
        "float8_bits": (draw(3000, scale=300.0),),
        "round_to_float4": (draw(3000, scale=3.0),),
        "float4_bits": (draw(3000, scale=3.0),),
    },
    "quantize.fake": {
        "fake_quantize": (draw(3000, 2, scale=3.0), 0.75, -3, -8, 7),
        "straight_through": (draw(3000), draw(3000)),
        "learnable_fake_quantize": (
            *(draw(3000, 2), np.array([0.25, 1e-3]), np.array([2.0, -2.5])),
            *(-8, 7, 1),
        ),
        "first_step": (draw(3000, 2, scale=300.0), 7, 1),
    },
    "quantize.calibration": {
        "min_max_range": (draw(3000, scale=300.0),),
        "percentile_range": (draw(3000, scale=300.0), 90),
        "mse_range": (draw(3000), "uint4", False, 8),
    },
    "quantize.normal_float": {"normal_quantile": (np.linspace(0.01, 0.99, 99),)},
    "quantize.group_wise": {"group_quantize": (draw(30, 64), 32, 4)},
    "quantize.ternary": {
        "ternary_quantize": (draw(3000, 5, scale=300.0),),
        "ternary_dequantize": (RIGHT, np.array(1e-3)),
        "ternary_linear": (draw(7, 3000), draw(4, 3000), draw(4)),
    },
    "metrics.zero_shot": {
        "zero_shot": (draw(3, 3000), draw(5, 3000)),
        "retrieval_ranks": (draw(5, 5),),
        "recall_at_k": (draw(5, 5),),
    },
}
EACH = [
    pytest.param(room, name, id=name) for room, calls in CALLS.items() for name in calls
]
# Functions without an array of floating numbers among their arguments.
WITHOUT_NUMBERS = {
    "objectives.language": {"shift_labels", "pad_labels", "mask_prompt", "check_room"},
    "objectives.masked": {"mask_tokens"},
    "train.optimizers": {"matrices_only"},
    "quantize.fake": {"step_grad_factor"},
    "quantize.error": {"code_entropy"},
    "quantize.small_floats": {"float8_from_bits", "float4_from_bits"},
    "quantize.normal_float": {"nf4_levels", "fp4_levels"},
    "blocks.adapters": {"bottleneck_adapter_shapes"},
}
# What has a law of its own: it draws, takes a function of its texts, or rounds twice.
ELSEWHERE = {
    "group_dequantize",
    *("nf4_quantize", "nf4_dequantize", "fp4_quantize", "fp4_dequantize"),
    "linear_4bit",
    "moving_average_range",
    "mine_hard_negatives",
    "zero_shot_classifier",
    "a_number_for_each",
}
# Of what `quantize` offers in other rooms, why it has no line in CALLS.
OF_QUANTIZE = {
    "codes in, codes or whole numbers out": {
        *("matmul_integer", "conv_integer", "qlinear_matmul", "qlinear_conv"),
        *("pack_nibbles", "pack_bits", "pack_trits"),
        *("unpack_nibbles", "unpack_bits", "unpack_trits"),
    },
    "scales are float32 in its layout, whatever the numbers are": {
        *("code_book_quantize", "code_book_dequantize"),
        *("double_quantize", "double_dequantize", "dynamic_map"),
    },
    "counts are float64": {"histogram", "narrowed_range", "entropy_range"},
    "takes a name": {"number_format", "integer_format"},
    "takes a model, or a table of costs": {
        *("sensitivities", "assign_widths", "assign_by_greed"),
    },
}

# Each operator in them rounds its own result, as PyTorch's does.
MADE_OF_OPERATORS = {
    *("info_nce", "clip_loss", "itc_loss", "distillation_loss", "hint_loss"),
    *("uncertainty_weighting", "bottleneck_adapter", "weighted_sum"),
}


def deep(value, dtype):
    """Every floating array of a value, in lists and mappings too, in a dtype."""
    if isinstance(value, dict):
        return {key: deep(each, dtype) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(deep(each, dtype) for each in value)
    return cast(value, dtype)


def flat(result):
    """The arrays and numbers of a result, one after the other."""
    if isinstance(result, dict):
        return [each for key in sorted(result) for each in flat(result[key])]
    if isinstance(result, (list, tuple)):
        return [each for part in result for each in flat(part)]
    return [result]


@law
@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.parametrize("room, name", EACH)
def test_half_precision_is_computed_in_single(room, name):
    """float16 in, float16 out, to the bits of float32 rounded once; a number that is a
    Python float is the same."""
    function = getattr(importlib.import_module(f"refvlm.{room}"), name)
    half = deep(CALLS[room][name], np.float16)
    ours = flat(function(*half))
    single = flat(function(*deep(half, np.float32)))
    for got, full in zip(ours, single, strict=True):
        if isinstance(full, float):
            assert math.isclose(got, full, rel_tol=1e-3)
        elif name in MADE_OF_OPERATORS:
            with np.errstate(over="ignore"):
                assert_close(got, full.astype(np.float16), 5e-3)
        else:
            assert_rounded_once(got, full)


@law
def test_half_precision_beside_single_is_single():
    """Only what came in as nothing but halves goes out as one."""
    half, single = np.ones(3, np.float16), np.ones(3, np.float32)
    product = in_single_precision(lambda x, y: x * y)
    assert product(half, half).dtype == np.float16
    assert product(half, single).dtype == product(single, half).dtype == np.float32


@law
def test_half_precision_in_any_order_and_any_list():
    """Gradients from a tuple or a generator are those from a list."""
    some = [{"w": np.array([300.0], np.float16)}, {"w": np.array([0.0], np.float16)}]
    for given in (some, tuple(some), (each for each in some)):
        assert fisher_diagonal(given)["w"] == np.float16(45000)


@law
def test_half_precision_keeps_its_moments_in_single():
    """The square of a gradient of 1e-4 is 0 in half."""
    weights = {"w": np.ones(3, np.float16)}
    optimizer = AdamW()
    state = optimizer.init(weights)
    gradients = {"w": np.full(3, 1e-4, np.float16)}
    after, state = optimizer.step(weights, gradients, state, 0.125)
    assert state["first"].dtype == state["second"].dtype == np.float32
    assert (state["second"] > 0).all() and after["w"].dtype == np.float16


class Pair(NamedTuple):
    """Two arrays, by name."""

    first: np.ndarray
    second: np.ndarray


@law
def test_half_precision_keeps_the_names_of_a_tuple():
    """What goes in by name comes out by name, rounded once."""
    both = in_single_precision(lambda pair: Pair(pair.first * 2, pair.second))
    found = both(Pair(np.ones(2, np.float16), np.ones(3, np.float16)))
    assert isinstance(found, Pair)
    assert found.first.dtype == found.second.dtype == np.float16


@law
@pytest.mark.parametrize("room", CALLS)
def test_half_precision_leaves_nobody_out(room):
    """What is offered and has no line in CALLS says why."""
    module = importlib.import_module(f"refvlm.{room}")
    offered = {
        name
        for name, value in vars(module).items()
        if inspect.isfunction(value)
        and value.__module__ == module.__name__
        and not name.startswith("_")
        and not name.endswith("_vjp")
    }
    known = set(CALLS[room]) | WITHOUT_NUMBERS.get(room, set()) | ELSEWHERE
    assert offered <= known


@law
def test_half_precision_leaves_nobody_in_quantize_out():
    """A file without a room in CALLS is noticed too: what it offers has a reason."""
    offered = {
        name
        for name, value in vars(quantize).items()
        if inspect.isfunction(value) and not name.endswith("_vjp")
    }
    rooms = [room for room in CALLS if room.startswith("quantize.")]
    known = ELSEWHERE.union(
        *(CALLS[room] for room in rooms),
        *(WITHOUT_NUMBERS.get(room, ()) for room in rooms),
        *OF_QUANTIZE.values(),
    )
    assert offered <= known, sorted(offered - known)
