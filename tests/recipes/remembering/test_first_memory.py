"""The spec of refvlm/recipes/remembering/first_memory.py."""

from dataclasses import replace

import numpy as np

from refvlm import ops
from refvlm.blocks.recurrent import lstm_stack
from refvlm.checkpoint import Weights
from refvlm.models import microvlm, microvlm_memory
from refvlm.recipes.remembering.first_memory import as_a_count, as_tokens
from refvlm.train.initialization import initial_weights

from ...spec import assert_close, example, law, random_arrays
from ...weights import random_weights
from .small_memory import CONFIG


@law
def test_a_slot_begins_as_a_token():
    """Each layer has of a code the key and the value that it makes of a token, not
    rotated, whose root mean square is 1, as its norm leaves one."""
    wide = replace(CONFIG, memory=replace(CONFIG.memory, width=16, order_width=16))
    tensors = random_weights(microvlm.expected_shapes(wide, tied=True))
    weights = Weights(tensors | as_tokens(tensors, wide))
    text = wide.text
    code = random_arrays(1)(1, 1, text.hidden_size)
    code /= np.sqrt(np.mean(code**2))
    slots = microvlm_memory.slots(code, weights, wide)
    for i in range(text.num_hidden_layers):
        layer = weights.scope(f"{microvlm.DECODER}.layers.{i}")
        norm = layer["input_layernorm.weight"]
        normed = ops.rms_norm(code, norm.shape, norm, text.rms_norm_eps)
        for ours, name in ((slots.keys, "k_proj"), (slots.values, "v_proj")):
            own = layer.scope(f"self_attn.{name}")
            token = ops.linear(normed, own["weight"], own["bias"])
            heads = token.reshape(1, 1, -1, text.head_dim).swapaxes(1, 2)
            assert_close(ours[i], heads, tolerance=1e-5)


@law
def test_an_lstm_begins_with_a_count():
    """One place is further from the next than pictures are from one another at the
    same place; of an LSTM that begins as any other it is the reverse."""
    name = f"{microvlm.MEMORY}.lstm_z"
    shapes = {
        f"{name}.{part}_l0": shape
        for part, shape in (
            ("weight_ih", (256, 64)),
            ("weight_hh", (256, 64)),
            ("bias_ih", (256,)),
            ("bias_hh", (256,)),
        )
    }
    plain = initial_weights(shapes, np.random.default_rng(0))
    pictures = random_arrays(2)(50, 6, 64).astype(np.float32)
    for tensors, counts in ((plain, False), (plain | as_a_count(plain), True)):
        states = lstm_stack(pictures, Weights(tensors).scope(name), layers=1)
        places = states.mean(0)
        step = np.linalg.norm(np.diff(places, axis=0), axis=-1).min()
        spread = np.linalg.norm(states - places, axis=-1).mean()
        assert (step > spread) == counts


@example
def test_a_count_is_said_aloud():
    """Of PyTorch's four gates, i, f, g and o, the last is opened; what is read is
    quiet, and what is handed on is loud."""
    name = f"{microvlm.MEMORY}.lstm_z"
    before = {
        f"{name}.weight_ih_l0": np.ones((8, 3)),
        f"{name}.weight_hh_l0": np.ones((8, 2)),
        f"{name}.bias_ih_l0": np.zeros(8),
    }
    after = as_a_count(before)
    assert after[f"{name}.bias_ih_l0"].tolist() == [0, 0, 0, 0, 0, 0, 3, 3]
    assert_close(after[f"{name}.weight_ih_l0"], np.full((8, 3), 0.1), tolerance=1e-6)
    assert_close(after[f"{name}.weight_hh_l0"], np.full((8, 2), 6.0))
    assert not before[f"{name}.bias_ih_l0"].any()
