"""The spec of refvlm/train/activation_compression.py."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm import ops
from refvlm.autodiff import Variable, grad, value_and_grad
from refvlm.train.activation_compression import (
    BITS,
    compress,
    compressed_layers,
    decompress,
)

from ..spec import (
    assert_close,
    check_dtype,
    contract,
    derivative,
    example,
    law,
    oracle,
    tensors,
)
from ..spec import random_arrays as arrays

each_width = pytest.mark.parametrize("bits", BITS)


def steps_of(packed, size):
    """The step of each number's group."""
    return np.repeat(packed.step.reshape(-1), packed.group)[:size]


@example
def test_compress_of_four_numbers():
    """Two bits have four levels, 0 to 3: the codes are the numbers, and 3 2 1 0 in two
    bits each, the first lowest, is 11100100 = 228."""
    packed = compress(np.array([0.0, 1.0, 2.0, 3.0]), bits=2, group=4)
    assert packed.codes.tolist() == [228]
    assert packed.low == 0 and packed.step == 1


@example
def test_compress_of_a_third():
    """1/4 of the way from 0 to 1, in one bit: 0 three times of four, 1 once of four."""
    x = np.tile(np.array([0.0, 0.25, 0.25, 0.25, 1.0]), 20000)
    back = decompress(compress(x, bits=1, group=5, rng=np.random.default_rng(0)))
    assert set(back.tolist()) == {0.0, 1.0}
    assert abs(back.reshape(-1, 5)[:, 1:4].mean() - 0.25) < 0.01


@law
@given(
    x=tensors(st.tuples(st.integers(0, 7), st.integers(1, 9)), -1e6, 1e6),
    bits=st.sampled_from(BITS),
    group=st.integers(1, 20),
    seed=st.integers(0, 3) | st.none(),
)
def test_decompress_is_within_a_step(x, bits, group, seed):
    """Off by less than a step with random rounding, by half of one without; shape and
    dtype are those of x, and the ends of each group are met exactly."""
    rng = None if seed is None else np.random.default_rng(seed)
    packed = compress(x, bits, group, rng)
    back = decompress(packed)
    assert back.shape == x.shape and back.dtype == x.dtype
    step = steps_of(packed, x.size).reshape(x.shape)
    allowed = step * (0.5 if rng is None else 1.0) + 1e-9 * (1 + np.abs(x))
    assert (np.abs(back - x) <= allowed).all()


@law
@each_width
def test_compress_is_right_on_average(bits):
    """The mean of many random roundings is x: it comes as near as chance allows, a
    standard deviation of at most half a step over the root of their number."""
    x, rng, times = arrays(1)(300), np.random.default_rng(2), 2000
    back = np.mean(
        [decompress(compress(x, bits, 50, rng)) for _ in range(times)], axis=0
    )
    step = steps_of(compress(x, bits, 50), x.size)
    assert (np.abs(back - x) <= 4.5 * step / 2 / times**0.5 + 1e-12).all()
    nearest = decompress(compress(x, bits, 50))
    assert np.abs(nearest - x).max() > 3 * np.abs(back - x).max(), "nearest is biased"


@law
@each_width
def test_compress_takes_bits_and_two_numbers_a_group(bits):
    """b bits a number and 64 a group of 256, where float32 takes 32 a number."""
    packed = compress(arrays(3)(64, 256).astype(np.float32), bits, group=256)
    assert packed.nbytes == 64 * 256 * bits // 8 + 64 * 2 * 4


@law
@each_width
def test_decompress_of_equal_numbers_is_exact(bits):
    """A group without spread has no step, and needs none."""
    x = np.full((3, 5), 0.1, np.float32)
    np.testing.assert_array_equal(decompress(compress(x, bits, 4)), x)


@law
def test_decompress_keeps_dtype():
    """Float16 in, float16 out; the steps are taken in float32."""
    check_dtype(lambda x: decompress(compress(x, group=4)), arrays(4)(3, 5))


def layers_of(count=3, width=6):
    """A stack of linear maps, and its input."""
    draw = arrays(5)
    matrices = [draw(width, width, scale=width**-0.5) for _ in range(count)]
    return matrices, draw(32, width)


def bend(x, weight):
    """One layer."""
    return ops.gelu(ops.linear(x, weight))


@law
def test_compressed_layers_computes_the_exact_result():
    """What is compressed is what waits for the way back. The way out never sees it."""
    matrices, x = layers_of()
    expected = x
    for matrix in matrices:
        expected = bend(expected, matrix)
    np.testing.assert_array_equal(compressed_layers(bend, x, matrices), expected)
    leaves = [Variable(matrix) for matrix in matrices]
    out = compressed_layers(bend, Variable(x), leaves, bits=1)
    np.testing.assert_array_equal(out.value, expected)


@law
def test_compressed_layers_gradient_is_right_on_average_where_it_is_linear():
    """Of linear maps the input's gradient does not see the activations at all, and the
    weights' gradients are linear in them: exact, and unbiased."""
    matrices, x = layers_of(2)
    direction = arrays(6)(*x.shape)

    def gradient(run):
        def loss(tensors):
            return (run(tensors["x"], [tensors["0"], tensors["1"]]) * direction).sum()

        return grad(loss)({"x": x, "0": matrices[0], "1": matrices[1]})

    def plain(x, layers):
        return ops.linear(ops.linear(x, layers[0]), layers[1])

    exact, rng = gradient(plain), np.random.default_rng(0)
    samples = [
        gradient(
            lambda x, w: compressed_layers(ops.linear, x, w, bits=2, group=16, rng=rng)
        )
        for _ in range(500)
    ]
    for sample in samples:
        assert_close(sample["x"], exact["x"])
    for name in "01":
        values = np.stack([sample[name] for sample in samples])
        assert (values[0] != exact[name]).any()
        spread = values.std(axis=0) / len(samples) ** 0.5
        assert (np.abs(values.mean(axis=0) - exact[name]) < 5 * spread).all()


@law
def test_compressed_layers_gradient_errs_in_proportion_to_the_step():
    """With every bit more the error of the gradient halves."""
    matrices, x = layers_of()

    def gradient(bits):
        def loss(tensors):
            layers = [tensors[str(i)] for i in range(3)]
            if bits is None:
                out = x
                for matrix in layers:
                    out = bend(out, matrix)
            else:
                rng = np.random.default_rng(1)
                out = compressed_layers(bend, x, layers, bits=bits, group=64, rng=rng)
            return (out * out).sum()

        return grad(loss)({str(i): matrix for i, matrix in enumerate(matrices)})

    def size(gradients):
        return np.sqrt(sum(float((g * g).sum()) for g in gradients.values()))

    exact = gradient(None)
    errors = {}
    for bits in (2, 4, 8):
        found = gradient(bits)
        errors[bits] = size({n: found[n] - exact[n] for n in exact}) / size(exact)
    assert errors[8] < 0.01
    assert 1.5 < errors[2] / errors[4] < 15  # 2^2 and a little luck
    assert 5 < errors[4] / errors[8] < 50  # 2^4


@law
def test_compressed_layers_repeats_noise():
    """Dropout within a layer drops the same numbers on the way back: of x m the
    gradient is m, which the weights' own formula shows to the bit."""
    x = np.ones((4, 30))

    def drop(x, weight, rng):
        return ops.dropout(x, 0.5, rng=rng) * weight

    def slope(run):
        return grad(lambda w: run(w, np.random.default_rng(8)).sum())(np.ones(30))

    plain = slope(lambda w, rng: drop(x, w, rng))
    found = slope(lambda w, rng: compressed_layers(drop, x, [w], rng))
    np.testing.assert_array_equal(found, plain)


@law
def test_compressed_layers_needs_less_memory():
    """24 layers of bends: an eighth of float64 for each input, and one layer's tape."""
    rng = np.random.default_rng(0)
    weights = {str(i): rng.standard_normal((16, 16)) / 4 for i in range(24)}
    x = rng.standard_normal((2048, 16))

    def peak(run):
        def loss(weights):
            out = run(x, [weights[str(i)] for i in range(24)])
            return (out * out).sum()

        tracemalloc.start()
        try:
            value_and_grad(loss)(weights)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    def plain(x, layers):
        for matrix in layers:
            x = bend(x, matrix)
        return x

    def packed(x, layers):
        return compressed_layers(bend, x, layers, bits=8)

    peak(packed)
    assert peak(packed) < 0.4 * peak(plain)


@oracle
def test_compress_equals_torch(compare):
    """PyTorch's quantised tensors, one scale and one zero for each row, to the nearest:
    the same numbers, up to the half step by which their zero is rounded."""
    x = arrays(9)(6, 64)

    def ask(torch):
        rows = torch.from_numpy(x)
        low, high = rows.amin(1, keepdim=True), rows.amax(1, keepdim=True)
        scale = (high - low) / 255
        back = torch.fake_quantize_per_channel_affine(
            (rows - low).float(),
            scale[:, 0].float(),
            torch.zeros(6, dtype=torch.int32),
            0,
            0,
            255,
        )
        return {"x": (back + low).numpy()}

    answer = compare.answers(ask, (x,), tolerance=1e-6)["x"]
    assert_close(decompress(compress(x, 8, 64)), answer.astype(np.float64), 2e-6)


@derivative
def test_compressed_layers_against_differences():
    """Eight bits are enough for two digits of a derivative along a random direction."""
    matrices, x = layers_of()
    direction = arrays(10)(6, 6)

    def loss(weight):
        out = compressed_layers(bend, x, [matrices[0], weight, matrices[2]], group=32)
        return (out * out).sum()

    slope = (
        loss(matrices[1] + 1e-5 * direction) - loss(matrices[1] - 1e-5 * direction)
    ) / 2e-5
    assert abs((grad(loss)(matrices[1]) * direction).sum() / slope - 1) < 0.02


@contract
@pytest.mark.parametrize("bits", [0, 3, 16, 8.5, "8"])
def test_compress_refuses_other_widths(bits):
    """Codes share a byte evenly."""
    with pytest.raises(ValueError, match="bits are one of"):
        compress(np.ones(3), bits)


@contract
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_compress_refuses_what_is_not_finite(value):
    """One infinity would take its whole group with it."""
    with pytest.raises(ValueError, match="infinities"):
        compress(np.array([1.0, value, 2.0]))


@contract
@pytest.mark.parametrize("group", [0, -1, 2.5])
def test_compress_refuses_groups_of_nothing(group):
    """A group has at least one number."""
    with pytest.raises(ValueError, match="group"):
        compress(np.ones(3), group=group)
