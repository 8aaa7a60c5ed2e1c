"""The spec of refvlm/train/rematerialization.py."""

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm import ops
from refvlm.autodiff import Variable, grad, value_and_grad
from refvlm.blocks.training_mode import Training, batch_norm
from refvlm.blocks.transformer import transformer_block, transformer_block_shapes
from refvlm.checkpoint import Weights
from refvlm.train.rematerialization import (
    checkpoint_segments,
    rematerialized,
    segment_plan,
)

from ..spec import assert_close, check_vjp, contract, derivative, example, law, oracle
from ..spec import random_arrays as arrays
from ..weights import random_weights


def a_stack(layers=5, width=6, dtype=np.float64):
    """The weights of a residual network, and its input."""
    draw = arrays(1)
    weights = {
        f"{i}.weight": draw(width, width, scale=width**-0.5).astype(dtype)
        for i in range(layers)
    }
    return Weights(weights), draw(4, width).astype(dtype)


def layer(x, weights, training=None):
    """One layer of it, with dropout where it trains."""
    hidden = ops.gelu(ops.linear(x, weights["weight"]))
    if training is not None:
        hidden = ops.dropout(hidden, 0.4, rng=training.rng)
    return x + hidden


def loss_of(x, run, layers=5):
    """A loss over the stack, whose layers `run(function, x, scopes)` applies."""

    def loss(weights):
        out = run(x, [weights.scope(str(i)) for i in range(layers)])
        return (out * out).sum()

    return loss


def assert_same_bits(actual, expected):
    """The same number, and the same gradients by name, to the last bit."""
    assert actual[0] == expected[0]
    assert actual[1].keys() == expected[1].keys()
    for name, gradient in expected[1].items():
        np.testing.assert_array_equal(actual[1][name], gradient, name)


def plainly(x, layers, *shared):
    """The stack as a loop, on one tape."""
    for weights in layers:
        x = layer(x, weights, *shared)
    return x


@example
def test_segment_plan_of_ten():
    """Four segments of two or three: nothing is left out, nothing comes twice."""
    plan = segment_plan(10)
    assert [len(range(10)[part]) for part in plan] == [2, 3, 2, 3]
    assert segment_plan(5, segments=1) == [slice(0, 5)]
    assert segment_plan(0) == []


@example
def test_rematerialized_counts_its_calls():
    """Twice: once on the way out, once on the way back."""
    calls = []

    def cube(x):
        calls.append(type(x))
        return x * x * x

    slope = grad(lambda x: rematerialized(cube)(x).sum())(np.array([2.0]))
    assert slope == 12.0
    assert calls == [np.ndarray, Variable]


@law
@given(n=st.integers(1, 400), segments=st.integers(1, 30) | st.none())
def test_segment_plan_covers_all_layers_once(n, segments):
    """In order, without gaps, and as even as whole numbers can be."""
    parts = [range(n)[part] for part in segment_plan(n, segments)]
    assert [i for part in parts for i in part] == list(range(n))
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1
    if segments is None:
        assert len(parts) + max(sizes) <= 2 * math.sqrt(n) + 1


@law
@pytest.mark.parametrize("segments", [None, 1, 2, 5])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_checkpoint_segments_keeps_every_bit(segments, dtype):
    """The same operators meet the same numbers: loss and gradients are equal, not
    close, whatever the segments."""
    weights, x = a_stack(dtype=dtype)
    expected = value_and_grad(loss_of(x, plainly))(weights)
    run = lambda x, layers: checkpoint_segments(layer, x, layers, segments=segments)  # noqa: E731
    assert_same_bits(value_and_grad(loss_of(x, run))(weights), expected)


@law
@pytest.mark.parametrize("segments", [1, 2, 5])
def test_checkpoint_segments_repeats_its_noise(segments):
    """The masks of dropout are drawn again from the state that they were drawn from;
    what is drawn afterwards is what would have been."""
    weights, x = a_stack()

    def run_with(apply):
        training = Training(np.random.default_rng(3))
        found = value_and_grad(loss_of(x, lambda x, w: apply(x, w, training)))(weights)
        return found, training.rng.random()

    expected, then = run_with(plainly)
    found, after = run_with(
        lambda x, w, training: checkpoint_segments(
            layer, x, w, training, segments=segments
        )
    )
    assert_same_bits(found, expected)
    assert after == then
    without, _ = run_with(lambda x, w, training: plainly(x, w))
    assert without[0] != expected[0], "dropout does something here"


@law
def test_rematerialized_repeats_a_bare_generator():
    """A generator among the arguments, by position or by name, twice the same one."""

    def noisy(x, rng, other):
        return ops.dropout(ops.dropout(x, 0.5, rng=rng) * x, 0.5, rng=other)

    def slope(function):
        rng = np.random.default_rng(0)
        return grad(lambda x: function(x, rng, other=rng).sum())(np.ones(50))

    np.testing.assert_array_equal(slope(rematerialized(noisy)), slope(noisy))


@law
def test_rematerialized_collects_statistics_once():
    """Batch normalisation moves its running mean on the way out, and not again when it
    is computed again."""
    weights = Weights(
        {
            f"norm.{name}": array
            for name, array in random_weights(
                dict.fromkeys(("running_mean", "running_var", "weight", "bias"), (3,))
            ).items()
        }
    )
    x = arrays(2)(4, 3, 2, 2)

    def run(function):
        training = Training()

        def loss(w):
            out = function(x, w.scope("norm"), training)
            return (out * out * out).sum()

        learnt = ["norm.weight", "norm.bias"]
        return value_and_grad(loss, trainable=learnt)(weights), training.statistics

    expected, statistics = run(batch_norm)
    found, again = run(rematerialized(batch_norm))
    assert_same_bits(found, expected)
    assert (
        again.keys() == statistics.keys() == {"norm.running_mean", "norm.running_var"}
    )
    for name, array in statistics.items():
        np.testing.assert_array_equal(again[name], array)


@law
def test_rematerialized_inside_rematerialized():
    """It is a function like any other, so it nests; two calls may share a weight."""

    def twice(x, weight):
        inner = rematerialized(lambda x, w: ops.gelu(ops.linear(x, w)))
        return inner(inner(x, weight), weight)

    def plain(x, weight):
        return ops.gelu(ops.linear(ops.gelu(ops.linear(x, weight)), weight))

    x, weight = arrays(3)(4, 3), arrays(4)(3, 3)
    slopes = [
        grad(lambda w, f=f: f(x, w).sum())(weight)
        for f in (plain, twice, rematerialized(twice))
    ]
    np.testing.assert_array_equal(slopes[1], slopes[0])
    np.testing.assert_array_equal(slopes[2], slopes[0])


@law
def test_rematerialized_of_a_transformer_block():
    """A block of a model as it is, with its weights as a scope."""
    shapes = transformer_block_shapes(8, 16)
    weights = Weights({f"a.{n}": w for n, w in random_weights(shapes).items()})
    x = arrays(5)(2, 6, 8)

    def loss(function):
        return lambda w: (
            function(x, w.scope("a"), num_heads=2, is_causal=True) * x
        ).sum()

    expected = value_and_grad(loss(transformer_block))(weights)
    found = value_and_grad(loss(rematerialized(transformer_block)))(weights)
    assert_same_bits(found, expected)


@law
def test_rematerialized_is_itself_without_variables():
    """Where nothing is learnt, nothing is kept and nothing comes back but the array."""
    x = arrays(6)(3)
    out = rematerialized(ops.gelu)(x)
    assert isinstance(out, np.ndarray)
    np.testing.assert_array_equal(out, ops.gelu(x))


def peak_of(loss, weights):
    """Bytes held at once, at most, while a gradient is computed."""
    tracemalloc.start()
    try:
        value_and_grad(loss)(weights)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@law
def test_checkpoint_segments_needs_less_memory():
    """36 layers in 6 segments: where the tape holds some four arrays of every layer,
    6 + 6 layers' worth of them are left; here less than half of the peak."""
    rng = np.random.default_rng(0)
    weights = Weights(
        {f"{i}.weight": rng.standard_normal((16, 16)) / 4 for i in range(36)}
    )
    x = rng.standard_normal((2048, 16))
    peak_of(loss_of(x, plainly, 2), weights)
    plain = peak_of(loss_of(x, plainly, 36), weights)
    spared = peak_of(
        loss_of(x, lambda x, layers: checkpoint_segments(layer, x, layers), 36), weights
    )
    assert plain > 36 * 3 * x.nbytes
    assert spared < 0.5 * plain


@oracle
def test_checkpoint_segments_equals_torch(compare):
    """PyTorch's checkpoints over the same four layers, two at a time."""
    weights, x = a_stack(4)
    matrices = [weights[f"{i}.weight"] for i in range(4)]

    def ours(x, *matrices):
        return checkpoint_segments(
            lambda x, weight: ops.gelu(ops.linear(x, weight)), x, matrices, segments=2
        )

    def reference(torch):
        # What `checkpoint` calls, without the compiler that it loads for half a minute.
        from torch.utils.checkpoint import CheckpointFunction

        def two_layers(x, first, second):
            x = torch.nn.functional.gelu(torch.nn.functional.linear(x, first))
            return torch.nn.functional.gelu(torch.nn.functional.linear(x, second))

        def run(x, *matrices):
            x = CheckpointFunction.apply(two_layers, True, x, *matrices[:2])
            return CheckpointFunction.apply(two_layers, True, x, *matrices[2:])

        return run

    compare(ours, reference, x, *matrices)


@derivative
def test_rematerialized_against_differences():
    """Its pullback is that of the function, for every argument."""

    def function(x, weight, bias):
        return ops.layer_norm(ops.gelu(ops.linear(x, weight, bias)), (3,))

    draw = arrays(7)
    check_vjp(rematerialized(function), draw(4, 5), draw(3, 5), draw(3))


@derivative
def test_rematerialized_of_an_argument_that_does_not_matter():
    """Its gradient is zero, not missing."""
    unused = rematerialized(lambda x, y: x * 2)
    np.testing.assert_array_equal(
        grad(lambda y: unused(Variable(np.ones(2)), y).sum())(np.ones(3)), 0.0
    )


@contract
def test_rematerialized_refuses_a_hidden_variable():
    """A weight from around the function would get no gradient: it has to be given."""
    weight = Variable(np.ones((2, 2)))
    with pytest.raises(TypeError, match="was not given"):
        rematerialized(lambda x: ops.linear(x, weight))(Variable(np.ones((1, 2))))


@contract
def test_rematerialized_notices_hidden_noise():
    """A generator from around the function goes on between the two calls: the masks
    would differ, and with them the gradients. It says so."""
    rng = np.random.default_rng(0)
    noisy = rematerialized(lambda x: ops.dropout(x, 0.5, rng=rng))
    with pytest.raises(ValueError, match="another result"):
        grad(lambda x: noisy(x).sum())(np.ones(100))


@contract
def test_rematerialized_refuses_several_results():
    """One array comes out, one gradient comes back."""
    with pytest.raises(TypeError, match="returned a tuple"):
        rematerialized(lambda x: (x, x))(Variable(np.ones(2)))


@contract
@pytest.mark.parametrize("arguments", [(3, 0), (3, 1.5), (-1,), (2.0,)])
def test_segment_plan_refuses_what_is_no_number_of_segments(arguments):
    """Whole numbers, and at least one segment."""
    with pytest.raises(ValueError, match="segment_plan"):
        segment_plan(*arguments)


@law
def test_rematerialized_passes_infinities():
    """A float16 network that overflows does so again, and is not taken for noise."""
    x = np.full((1, 2), 60000.0, np.float16)
    weight = np.ones((2, 2), np.float16)
    with np.errstate(over="ignore", invalid="ignore"):
        out = value_and_grad(lambda w: rematerialized(ops.linear)(x, w).sum())(weight)
    assert np.isinf(out[0])
    assert_close(out[1], np.repeat(x, 2, axis=0))
