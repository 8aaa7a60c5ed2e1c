"""The spec of refvlm/blocks/episodic_memory/slots.py."""

import numpy as np
import pytest

from refvlm import ops
from refvlm.autodiff import value_and_grad
from refvlm.blocks.episodic_memory.slots import slot_shapes, slot_weights, slots_of
from refvlm.checkpoint import Weights
from refvlm.shapes import ShapeError

from ...spec import assert_close, contract, example, law, oracle, random_arrays
from ...weights import random_weights

WIDTH, LAYERS, HEADS, DIM = 5, 3, 2, 4
SIZES = LAYERS, HEADS, DIM
TENSORS = random_weights(slot_shapes(WIDTH, *SIZES), seed=1)
READS = random_arrays(2)(2, 3, WIDTH)


@example
def test_slots_of_full_size_counts_its_parameters():
    """896 numbers become 43,008, a key and a value of 64 for 14 heads in 24 layers;
    with Qwen's own two key heads, a seventh of that."""
    shapes = slot_shapes(896, 24, 14, 64)
    assert shapes["bias"] == (43_008,)
    assert sum(int(np.prod(shape)) for shape in shapes.values()) == 38_578_176
    own = slot_shapes(896, 24, 2, 64)
    assert sum(int(np.prod(shape)) for shape in own.values()) == 38_578_176 // 7


@example
def test_slots_of_a_read_by_hand():
    """One layer, two heads of one number: keys are the even rows, values the odd."""
    matrix = np.array([[1.0], [10.0], [2.0], [20.0]])
    slots = slots_of(np.array([[3.0]]), {"weight": matrix}, 1, 2, 1)
    assert slots.keys.ravel().tolist() == [3.0, 6.0]
    assert slots.values.ravel().tolist() == [30.0, 60.0]
    assert slots.bias is None


@law
def test_slots_of_several_reads_stand_side_by_side():
    """Each read makes its own slot, as it would alone."""
    many = slots_of(READS, Weights(TENSORS), *SIZES)
    assert many.keys.shape == many.values.shape == (LAYERS, 2, HEADS, 3, DIM)
    for i in range(3):
        one = slots_of(READS[:, i], Weights(TENSORS), *SIZES)
        assert_close(many.keys[..., i : i + 1, :], one.keys)
        assert_close(many.values[..., i : i + 1, :], one.values)


@law
def test_slots_of_layers_own_projections_are_tokens():
    """What W_M is made of k_proj and v_proj says of a read is what the layer says of
    a token with that hidden state."""
    draw = random_arrays(5)
    keys = [(draw(HEADS * DIM, WIDTH), draw(HEADS * DIM)) for _ in range(LAYERS)]
    values = [(draw(HEADS * DIM, WIDTH), draw(HEADS * DIM)) for _ in range(LAYERS)]
    tensors = slot_weights(keys, values, DIM)
    assert {n: t.shape for n, t in tensors.items()} == slot_shapes(WIDTH, *SIZES)
    slots = slots_of(READS, Weights(tensors), *SIZES)
    for i in range(LAYERS):
        for projection, made in [
            (keys[i], slots.keys[i]),
            (values[i], slots.values[i]),
        ]:
            token = ops.linear(READS, *projection).reshape(2, 3, HEADS, DIM)
            assert_close(made, token.swapaxes(1, 2))


@law
def test_slots_of_weights_without_a_bias_have_none():
    """LLaMA's projections have no biases."""
    draw = random_arrays(6)
    tensors = slot_weights([draw(8, 5)], [draw(8, 5)], 4)
    assert tensors.keys() == {"weight"}
    nothing = slots_of(np.zeros((1, 5)), Weights(tensors), 1, 2, 4)
    assert not nothing.keys.any() and not nothing.values.any()


@law
def test_slots_of_float32_are_float32():
    """float32 in, float32 out, and the bias is passed on."""
    single = {name: a.astype(np.float32) for name, a in TENSORS.items()}
    bias = np.zeros((2, 3), np.float32)
    slots = slots_of(READS.astype(np.float32), Weights(single), *SIZES, bias=bias)
    assert slots.keys.dtype == slots.values.dtype == np.float32
    assert slots.bias is bias


@oracle
def test_slots_of_equals_torch(compare):
    """nn.Linear and view, as published; and the gradients of all three."""
    weight, bias = TENSORS["weight"], TENSORS["bias"]

    def ours(reads, weight, bias):
        slots = slots_of(reads, Weights({"weight": weight, "bias": bias}), *SIZES)
        return slots.keys * slots.keys + slots.values

    def reference(torch):
        def published(reads, weight, bias):
            flat = torch.nn.functional.linear(reads, weight, bias)
            pairs = flat.view(2, 3, LAYERS, HEADS, DIM, 2)
            keys, values = pairs[..., 0], pairs[..., 1]
            return (keys**2 + values).permute(2, 0, 3, 1, 4)

        return published

    compare(ours, reference, READS, weight, bias)


@law
def test_slots_of_send_a_gradient_to_the_matrix():
    """The memory learns what a slot has to be: keys and values both."""

    def loss(weights):
        slots = slots_of(READS, weights, *SIZES)
        return (slots.keys * slots.values).sum()

    _, gradients = value_and_grad(loss)(Weights(TENSORS))
    assert all(np.abs(gradients[name]).min() > 0 for name in TENSORS)


@contract
def test_slots_of_refuses_a_matrix_of_another_decoder():
    """W_M is made for one decoder: layers, heads and their width."""
    with pytest.raises(ShapeError, match="slots_of: the weight is .48, 5., but"):
        slots_of(READS, Weights(TENSORS), LAYERS, HEADS + 1, DIM)
    with pytest.raises(ValueError, match="slots_of: layers"):
        slots_of(READS, Weights(TENSORS), 0, HEADS, DIM)
    with pytest.raises(ShapeError, match="slots_of: read is .5,."):
        slots_of(READS[0, 0], Weights(TENSORS), *SIZES)
    with pytest.raises(ShapeError, match="bias is .2, 1., but there are 3 slots"):
        slots_of(READS, Weights(TENSORS), *SIZES, bias=np.zeros((2, 1)))


@contract
def test_slot_weights_refuses_layers_without_values():
    """And rows that are no heads."""
    with pytest.raises(ValueError, match="slot_weights: 1 layers of keys and 0"):
        slot_weights([np.ones((4, 3))], [], 2)
    with pytest.raises(ShapeError, match="4 rows do not split into heads of 3"):
        slot_weights([np.ones((4, 3))], [np.ones((4, 3))], 3)
