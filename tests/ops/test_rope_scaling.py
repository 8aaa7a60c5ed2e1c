"""The spec of refvlm/ops/rope_scaling.py."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm import ops

from ..oracles import all_double, import_torchvision
from ..spec import assert_close, call, contract, example, law, oracle

_frequencies = ops.position_frequencies(6)

CALLS = {
    "linear_frequencies": [call(6, factor=2.5), call(2, base=100.0)],
    "dynamic_frequencies": [
        call(4096, 6, factor=4.0, original=1024),
        call(np.array([[7], [4000]]), 4, base=1e6, factor=2.0),
    ],
    "llama3_frequencies": [call(64, 5e5), call(6, 100.0, 2.0, 64, 0.5, 3.0)],
    "yarn_frequencies": [
        call(64, 1e4, 4.0, 2048),
        call(6, 100.0, 2.0, 64, 8.0, 0.5, truncate=False),
    ],
    "yarn_attention_factor": [call(4.0), call(1.0), call(40.0, mscale=0.75)],
    "scaled_rotary_angles": [
        call(np.arange(5), _frequencies),
        call([[0, 30000]], _frequencies, attention_factor=1.25),
        call(np.arange(6).reshape(2, 3), _frequencies * np.ones((2, 1, 1))),
    ],
}

SCALINGS = {
    "linear": lambda dim, base, s: ops.linear_frequencies(dim, base, s),
    "llama3": lambda dim, base, s: ops.llama3_frequencies(dim, base, s, 1000),
    "yarn": lambda dim, base, s: ops.yarn_frequencies(dim, base, s, 1000),
    "dynamic": lambda dim, base, s: ops.dynamic_frequencies(2000, dim, base, s, 1000),
}
scalings = pytest.mark.parametrize("kind", SCALINGS)


@example
def test_linear_frequencies_are_all_slower():
    """Position 8 turns as position 2 did: four times the text, the same angles."""
    assert_close(ops.linear_frequencies(4, factor=4.0), np.array([0.25, 0.0025]))


@example
def test_dynamic_frequencies_wait_for_a_long_text():
    """Up to the original length nothing changes; at twice it, with s = 2, the bracket
    is 3, and the slowest pair turns three times more slowly."""
    plain = ops.position_frequencies(4)
    assert_close(ops.dynamic_frequencies(100, 4, factor=2.0, original=100), plain)
    longer = ops.dynamic_frequencies(200, 4, factor=2.0, original=100)
    assert_close(longer, plain / [1, 3])


@example
def test_llama3_frequencies_by_the_turns_made():
    """In 2 pi x 3000 tokens the four pairs made 3000, 300, 30 and 3 turns. Between 20
    and 40, 30 is half way: half of the pair's speed is divided by 4, half is kept."""
    original = round(2 * math.pi * 3000)
    scaled = ops.llama3_frequencies(8, 1e4, 4.0, original, 20.0, 40.0)
    half_way = 0.01 * (0.5 / 4 + 0.5)
    np.testing.assert_allclose(scaled, [1.0, 0.1, half_way, 0.001 / 4], rtol=1e-4)


@example
def test_yarn_frequencies_fade_over_the_pairs():
    """The same pairs: 300 turns are pair 1's, 3 turns pair 3's, and pair 2 stands half
    way between. Pair 0 keeps its speed, too."""
    original = round(2 * math.pi * 3000)
    scaled = ops.yarn_frequencies(8, 1e4, 4.0, original, 300.0, 3.0, truncate=False)
    half_way = 0.01 * (0.5 / 4 + 0.5)
    np.testing.assert_allclose(scaled, [1.0, 0.1, half_way, 0.001 / 4], rtol=1e-4)


@example
def test_yarn_attention_factor_of_e():
    """0.1 x ln e + 1; who is asked for no longer text changes nothing."""
    assert ops.yarn_attention_factor(math.e) == pytest.approx(1.1, abs=1e-15)
    assert ops.yarn_attention_factor(0.5) == 1.0


@example
def test_scaled_rotary_angles_are_longer():
    """A quarter turn of length 2."""
    cos, sin = ops.scaled_rotary_angles(np.array([1]), np.array([math.pi / 2]), 2.0)
    np.testing.assert_allclose(cos, [[0.0]], atol=1e-15)
    assert_close(sin, np.array([[2.0]]))


@law
@scalings
@given(half=st.integers(2, 40), base=st.floats(10, 1e6), factor=st.floats(1, 64))
def test_scaled_frequencies_stay_between_slowed_and_plain(kind, half, base, factor):
    """No pair is faster than it was; none is slower than by s, or, where the base grows
    and the text is twice as long, by s + 1. They fall, as they did."""
    plain = ops.position_frequencies(2 * half, base)
    frequencies = SCALINGS[kind](2 * half, base, factor)
    most = factor + (kind == "dynamic")
    assert (frequencies <= plain * (1 + 1e-12)).all()
    assert (frequencies * most >= plain * (1 - 1e-12)).all()
    assert (np.diff(frequencies) < 0).all()


@law
@pytest.mark.parametrize("kind", ["linear", "llama3", "yarn"])
@given(half=st.integers(2, 40), base=st.floats(10, 1e6))
def test_scaled_frequencies_by_a_factor_of_one_are_plain(kind, half, base):
    """A text no longer than before needs nothing."""
    plain = ops.position_frequencies(2 * half, base)
    assert_close(SCALINGS[kind](2 * half, base, 1.0), plain)


@law
def test_dynamic_frequencies_of_several_lengths_are_those_of_each():
    """A row of a batch is scaled by its own length."""
    lengths = np.array([[5], [3000], [9000]])
    together = ops.dynamic_frequencies(lengths, 6, factor=2.0)
    assert together.shape == (3, 1, 3)
    for length, frequencies in zip(lengths[:, 0], together[:, 0]):
        alone = ops.dynamic_frequencies(int(length), 6, factor=2.0)
        np.testing.assert_array_equal(frequencies, alone)


@law
def test_scaled_rotary_angles_of_plain_frequencies_are_rotary_angles():
    """To the bit."""
    ours = ops.scaled_rotary_angles(np.arange(9), ops.position_frequencies(8, 500.0))
    for scaled, plain in zip(ours, ops.rotary_angles(np.arange(9), 8, 500.0)):
        np.testing.assert_array_equal(scaled, plain)


def frequencies_of_transformers(torch, kind, dim, base, numbers):
    """Its `ROPE_INIT_FUNCTIONS`, computed in float64, for a text of 2500 tokens where
    1000 are known."""
    import_torchvision()
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    config = SimpleNamespace(
        head_dim=dim,
        hidden_size=dim,
        num_attention_heads=1,
        max_position_embeddings=1000,
        rope_parameters={"rope_theta": base, **numbers},
        standardize_rope_params=lambda: None,
    )
    with all_double(torch):
        frequencies, _ = ROPE_INIT_FUNCTIONS[kind](config, None, seq_len=2500)
    assert frequencies.dtype == torch.float64
    return {"frequencies": frequencies.numpy()}


def hold(compare, kind, dim, base, ours, **numbers):
    """Ours against transformers'."""
    answers = compare.answers(
        lambda torch: frequencies_of_transformers(torch, kind, dim, base, numbers),
        (kind, dim, base, numbers),
    )
    assert_close(ours, answers["frequencies"], 1e-12)


models = pytest.mark.parametrize("dim, base", [(64, 1e4), (12, 5e5), (128, 37.0)])


@oracle
@models
def test_linear_frequencies_equal_transformers(compare, dim, base):
    """Its rope_type "linear"."""
    ours = ops.linear_frequencies(dim, base, 2.5)
    hold(compare, "linear", dim, base, ours, factor=2.5)


@oracle
@models
def test_dynamic_frequencies_equal_transformers(compare, dim, base):
    """Its rope_type "dynamic"."""
    ours = ops.dynamic_frequencies(2500, dim, base, 3.0, 1000)
    hold(compare, "dynamic", dim, base, ours, factor=3.0)


@oracle
@models
def test_llama3_frequencies_equal_transformers(compare, dim, base):
    """Its rope_type "llama3"."""
    ours = ops.llama3_frequencies(dim, base, 8.0, 500, 0.75, 4.0)
    turns = {"low_freq_factor": 0.75, "high_freq_factor": 4.0}
    numbers = {"factor": 8.0, "original_max_position_embeddings": 500, **turns}
    hold(compare, "llama3", dim, base, ours, **numbers)


@oracle
@models
@pytest.mark.parametrize("truncate", [True, False])
@pytest.mark.parametrize("original, fast, slow", [(250, 16.0, 2.0), (100, 1.0, 1.0)])
def test_yarn_frequencies_equal_transformers(
    compare, dim, base, original, fast, slow, truncate
):
    """Its rope_type "yarn"; where both ends are one pair, it is a step."""
    ours = ops.yarn_frequencies(dim, base, 4.0, original, fast, slow, truncate)
    numbers = {"factor": 4.0, "original_max_position_embeddings": original}
    turns = {"beta_fast": fast, "beta_slow": slow, "truncate": truncate}
    hold(compare, "yarn", dim, base, ours, **numbers, **turns)


@oracle
@pytest.mark.parametrize("factor", [0.5, 1.0, 4.0, 40.0])
@pytest.mark.parametrize("mscale", [(), (0.75, 1.5)])
def test_yarn_attention_factor_equals_transformers(compare, factor, mscale):
    """The second number of its yarn; with two mscales it is a ratio."""

    def ask(torch):
        import_torchvision()
        from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

        config = SimpleNamespace(
            head_dim=8,
            hidden_size=8,
            num_attention_heads=1,
            rope_parameters={
                "rope_theta": 1e4,
                "factor": factor,
                "original_max_position_embeddings": 100,
                **dict(zip(("mscale", "mscale_all_dim"), mscale)),
            },
            standardize_rope_params=lambda: None,
        )
        return {"factor": np.array(ROPE_INIT_FUNCTIONS["yarn"](config, None)[1])}

    answer = compare.answers(ask, (factor, mscale))["factor"]
    ours = ops.yarn_attention_factor(factor)
    if mscale:
        first, second = (ops.yarn_attention_factor(factor, m) for m in mscale)
        ours = first / second
    assert_close(np.array(ours), answer)


@contract
@pytest.mark.parametrize("factor", [0, -1.0, math.nan, math.inf, "2", None])
@scalings
def test_scaled_frequencies_refuse_a_factor_that_is_none(kind, factor):
    """By name."""
    with pytest.raises(ValueError, match=f"{kind}_frequencies: factor must be a numb"):
        SCALINGS[kind](8, 1e4, factor)


@contract
def test_rope_scaling_refuses_numbers_in_the_wrong_order():
    """Each rule fades between two numbers of turns, the one below the other."""
    with pytest.raises(ValueError, match="low_freq_factor 4.0 must be below"):
        ops.llama3_frequencies(8, low_freq_factor=4.0)
    with pytest.raises(ValueError, match="beta_fast 1.0 must be at least beta_slow"):
        ops.yarn_frequencies(8, beta_fast=1.0, beta_slow=2.0)
    with pytest.raises(ValueError, match="base must be a number above 1"):
        ops.yarn_frequencies(8, base=1.0)


@contract
@pytest.mark.parametrize("length", [-1, 2.5, np.array([3, -3]), None, "a"])
def test_dynamic_frequencies_refuse_a_length_that_is_no_count(length):
    """By name."""
    with pytest.raises(ValueError, match="dynamic_frequencies: length is a count"):
        ops.dynamic_frequencies(length, 8)


@contract
def test_dynamic_frequencies_refuse_a_single_pair():
    """Its exponent d / (d - 2) is none."""
    with pytest.raises(ValueError, match="dim 2 is one pair, but this needs two"):
        ops.dynamic_frequencies(9, 2)
