"""The spec of refvlm/models/rope.py."""

import math

import numpy as np
import pytest

from refvlm import ops
from refvlm.models import rope
from refvlm.models.fields import ConfigError
from refvlm.models.llama import LlamaConfig
from refvlm.models.qwen2 import Qwen2Config

from ..spec import contract, example, law

LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}
AS_PUBLISHED = {  # what the files of these models say, and what it means
    "LLaMA": ({}, 2048, 1e4, None, 2048),
    "Vicuna 1.5 16k": (
        {"rope_scaling": {"factor": 4.0, "type": "linear"}},
        *(4096, 1e4, rope.Linear(4.0, 4096), 16384),
    ),
    "Llama 3.1": (
        {"rope_scaling": LLAMA3, "rope_theta": 5e5},
        *(131072, 5e5, rope.Llama3(8.0, 8192, 1.0, 4.0), 131072),
    ),
    "Llama 3.1, rewritten": (
        {"rope_parameters": {**LLAMA3, "rope_theta": 5e5}},
        *(131072, 5e5, rope.Llama3(8.0, 8192, 1.0, 4.0), 131072),
    ),
    "Qwen2.5 with YaRN": (
        {"rope_scaling": {**YARN, "type": "yarn"}, "rope_theta": 1e6},
        *(32768, 1e6),
        rope.Yarn(4.0, 32768, 32.0, 1.0, True, 0.1 * math.log(4) + 1),
        131072,
    ),
    "theta in both places": (
        {"rope_parameters": {**LLAMA3, "rope_theta": 5e5}, "rope_theta": 1e4},
        *(131072, 5e5, rope.Llama3(8.0, 8192, 1.0, 4.0), 131072),
    ),
    "original in both places": (
        {"rope_scaling": LLAMA3, "original_max_position_embeddings": 4096},
        *(131072, 1e4, rope.Llama3(8.0, 4096, 1.0, 4.0), 131072),
    ),
    "dynamic": (
        {"rope_scaling": {"type": "dynamic", "factor": 2.0}, "rope_parameters": None},
        *(2048, 1e4, rope.Dynamic(2.0, 2048), 4096),
    ),
}


@example
@pytest.mark.parametrize("name", AS_PUBLISHED)
def test_rope_is_read_as_it_is_published(name):
    """Older files and newer ones; and how far each reaches."""
    config, context, theta, scaling, reach = AS_PUBLISHED[name]
    found = rope.read(config, context)
    assert found == (theta, scaling)
    assert rope.reach(context, found[1]) == reach


@example
@pytest.mark.parametrize("family", [LlamaConfig, Qwen2Config])
def test_context_of_a_stretched_model_is_what_it_was_stretched_to(family):
    """Both families take every kind."""
    config = {"rope_scaling": {"type": "linear", "factor": 2.0}}
    built = family.from_json({**config, "max_position_embeddings": 100})
    assert (built.max_position_embeddings, built.context) == (100, 200)


@example
def test_yarn_reads_what_may_be_said_beside_its_factor():
    """A factor of the attention, or two mscales of whose ratio it is made."""
    more = {"beta_fast": 16, "beta_slow": 2, "truncate": False}
    told = {"rope_scaling": {**YARN, **more, "attention_factor": 1.5}}
    assert rope.read(told, 1)[1] == rope.Yarn(4.0, 32768, 16.0, 2.0, False, 1.5)
    told = {"rope_scaling": {**YARN, "mscale": 2.0, "mscale_all_dim": 1.0}}
    _, scaling = rope.read(told, 1)
    ratio = (0.2 * math.log(4) + 1) / (0.1 * math.log(4) + 1)
    assert scaling.attention_factor == pytest.approx(ratio, abs=1e-15)
    both = {**told["rope_scaling"], "attention_factor": 1.5}
    assert rope.read({"rope_scaling": both}, 1)[1].attention_factor == 1.5


@law
def test_angles_of_no_scaling_are_rotary_angles():
    """To the bit, for all rows together."""
    config = LlamaConfig(head_dim=8)
    ours = rope.angles(np.arange(9), config, np.float32)
    for angle, plain in zip(ours, ops.rotary_angles(np.arange(9), 8, 1e4, np.float32)):
        np.testing.assert_array_equal(angle, plain)


@law
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("scaling", [x[3] for x in AS_PUBLISHED.values()])
def test_angles_have_the_precision_of_the_tokens(scaling, dtype):
    """Or a decoder in float32 would compute in float64, and nobody would see it."""
    config = LlamaConfig(head_dim=8, rope_scaling=scaling)
    for angle in rope.angles(np.arange(9), config, dtype):
        assert angle.dtype == dtype


@law
@pytest.mark.parametrize("kind", ["linear", "dynamic", "llama3", "yarn"])
def test_angles_of_a_row_are_those_that_it_has_alone(kind):
    """Beside a longer row, too, whose text alone the dynamic kind stretches."""
    scaling = {
        "linear": rope.Linear(2.0, 8),
        "dynamic": rope.Dynamic(2.0, 8),
        "llama3": rope.Llama3(2.0, 8, 0.5, 2.0),
        "yarn": rope.Yarn(2.0, 8, 2.0, 1.0, True, 1.25),
    }[kind]
    config = LlamaConfig(head_dim=8, rope_scaling=scaling)
    positions = np.array([np.arange(20), np.maximum(np.arange(20) - 15, 0)])
    for angles, alone in zip(
        rope.angles(positions, config, np.float64),
        rope.angles(np.arange(5), config, np.float64),
    ):
        assert angles.shape == (2, 1, 20, 4)
        np.testing.assert_array_equal(angles[1, 0, 15:], alone)


@contract
@pytest.mark.parametrize(
    "config, message",
    [
        ({"rope_scaling": "linear"}, "rope_scaling must be an object, not 'linear'"),
        ({"rope_parameters": [4.0]}, "rope_parameters must be an object"),
        ({"rope_scaling": {"type": "longrope"}}, "rope_type is 'longrope', but only"),
        ({"rope_scaling": {"type": ["linear"]}}, r"rope_type is \['linear'\], but"),
        ({"rope_scaling": {"type": "linear"}}, "factor must be a number above 0"),
        (
            {"rope_scaling": {"type": "su", "rope_type": "linear", "factor": math.nan}},
            "factor must be a number above 0",
        ),
        ({"rope_scaling": {"type": "dynamic", "factor": 0}}, "factor must be a number"),
        ({"rope_scaling": {"type": "dynamic", "factor": "2"}}, "factor must be a numb"),
        ({"rope_scaling": {"type": "yarn", "factor": 1e300}}, "at most 65536"),
        (
            {"rope_scaling": {"type": "linear", "factor": 2.0, "beta_fast": 1}},
            "'linear' has no 'beta_fast'; it has factor",
        ),
        ({"rope_parameters": {"mrope_section": [1]}}, "'default' has no 'mrope_sec"),
        ({"rope_scaling": {**LLAMA3, "low_freq_factor": 4.0}}, "must be below high_fr"),
        ({"rope_scaling": {**LLAMA3, "high_freq_factor": None}}, "high_freq_factor mu"),
        (
            {"rope_scaling": {**LLAMA3, "original_max_position_embeddings": 0}},
            "original_max_position_embeddings must be a whole number",
        ),
        ({"rope_scaling": {**YARN, "beta_fast": 0.5}}, "beta_fast 0.5 must be at leas"),
        ({"rope_scaling": {**YARN, "truncate": "yes"}}, "truncate must be true or fal"),
        ({"rope_scaling": {**YARN, "attention_factor": -1}}, "attention_factor must"),
        ({"rope_scaling": YARN, "rope_theta": 1.0}, "rope_theta must be above 1"),
        ({"rope_theta": math.inf}, "rope_theta must be a number"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor is 0.5, but only"),
        (
            {"rope_scaling": YARN, "rope_parameters": LLAMA3},
            "rope_scaling and rope_parameters say different things",
        ),
    ],
)
def test_rope_refuses_what_it_cannot_turn_by(config, message):
    """One error, and it says which and what."""
    with pytest.raises(ConfigError, match=f"config.json: .*{message}"):
        rope.read(config, 2048)


@contract
def test_rope_that_claims_no_end_is_cut():
    """A context is a number of tokens that someone could ask for."""
    assert rope.reach(1 << 24, rope.Linear(65536.0, 1 << 24)) == rope.CONTEXT_LIMIT
