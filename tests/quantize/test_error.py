"""The spec of refvlm/quantize/error.py."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from refvlm import quantize

from ..spec import contract, example, law, oracle, random_arrays, tensors

some = tensors(st.integers(1, 20).map(lambda n: (n,)))


@example
def test_quantization_error_of_one_half():
    """One of two numbers is off by a half: 1 over 1/8, nine decibels."""
    noise = quantize.quantization_error(np.array([1.0, -1.0]), np.array([1.0, -1.5]))
    assert noise.mse == 0.125 and noise.largest == 0.5
    assert math.isclose(noise.sqnr, 10 * math.log10(8))


@example
def test_rounding_noise_of_one_step():
    """A twelfth of the square of a step."""
    assert quantize.rounding_noise(6.0) == 3.0


@example
def test_code_entropy_of_two_and_of_three():
    """A coin is one bit; a half and two quarters are one and a half."""
    assert quantize.code_entropy(np.array([0, 1, 1, 0])) == 1.0
    assert quantize.code_entropy(np.array([-1, 0, 0, 1])) == 1.5
    assert quantize.code_entropy(np.array([7, 7, 7])) == 0.0


@law
@given(some, st.integers(-60, 60))
def test_quantization_error_in_decibels_knows_no_unit(x, power):
    """Everything times a power of two, huge or tiny: the ratio stays."""
    x_hat = x + np.linspace(-1, 1, len(x))
    factor = 2.0 ** (8 * power)
    assume(((x == 0) | (np.abs(x * factor) > 1e-300)).all())  # no digit is lost below
    one = quantize.quantization_error(x, x_hat)
    other = quantize.quantization_error(x * factor, x_hat * factor)
    assert one.sqnr == other.sqnr or math.isclose(one.sqnr, other.sqnr, abs_tol=1e-9)
    assert math.isclose(other.largest, one.largest * factor)


@law
@given(some)
def test_quantization_error_of_nothing_lost(x):
    """Infinitely many decibels, and of zeros that are not kept infinitely few."""
    assert quantize.quantization_error(x, x) == (0, 0, math.inf)
    gone = quantize.quantization_error(np.zeros_like(x), np.ones_like(x))
    assert gone == (1, 1, -math.inf)


@law
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_quantization_error_is_summed_in_double(dtype):
    """Squares of halves neither overflow nor vanish."""
    x = np.full(3000, 3e4, dtype)
    noise = quantize.quantization_error(x, np.zeros_like(x))
    assert noise.sqnr == 0 and math.isclose(noise.mse, float(x[0]) ** 2)
    small = quantize.quantization_error(np.full(9, 6e-8, dtype), np.zeros(9, dtype))
    assert small.sqnr == 0 and small.mse > 0


@law
@pytest.mark.parametrize("scale", [0.01, 0.3, 2.0])
def test_rounding_noise_is_what_rounding_makes(scale):
    """100,000 normal numbers on a grid of which many steps are in their spread: the
    mean square is within its own spread, 4 of it, of s^2 / 12."""
    x = np.random.RandomState(6).randn(100_000) * scale * 20
    mse = quantize.quantization_error(x, np.rint(x / scale) * scale).mse
    # Of e uniform, the variance of e^2 is s^4 (1/80 - 1/144) = s^4 / 180.
    spread = scale**2 / math.sqrt(180 * len(x))
    assert abs(mse - quantize.rounding_noise(scale)) < 4 * spread


@law
@given(st.lists(st.integers(-3, 3), min_size=1, max_size=60))
def test_code_entropy_is_between_none_and_all(codes):
    """Never below 0 nor above the logarithm of how many codes there are; the order and
    the names of the codes do not matter."""
    codes = np.array(codes)
    bits = quantize.code_entropy(codes)
    assert 0 <= bits <= math.log2(len(set(codes.tolist()))) + 1e-12
    assert math.isclose(bits, quantize.code_entropy(np.sort(5 - codes)), abs_tol=1e-12)


@law
def test_code_entropy_of_all_codes_once_is_their_bits():
    """256 codes, as often each: 8 bits."""
    assert quantize.code_entropy(np.arange(-128, 128).reshape(2, -1)) == 8.0


@oracle
def test_quantization_error_equals_torch(compare):
    """torch.ao's SQNR, which is in float32, and the mean square in float64."""
    draw = random_arrays(8)
    x, x_hat = draw(5, 7), draw(5, 7)

    def ask(torch):
        from torch.ao.ns.fx.utils import compute_sqnr

        given = torch.from_numpy(x.copy()), torch.from_numpy(x_hat.copy())
        return {
            "sqnr": compute_sqnr(*[each.float() for each in given]).numpy(),
            "mse": torch.nn.functional.mse_loss(*given).numpy(),
        }

    answers = compare.answers(ask, (x, x_hat))
    noise = quantize.quantization_error(x, x_hat)
    assert math.isclose(noise.sqnr, answers["sqnr"], rel_tol=1e-5)
    assert math.isclose(noise.mse, answers["mse"], rel_tol=1e-12)


@oracle
def test_code_entropy_equals_torch(compare):
    """The entropy of a Categorical, in bits."""
    codes = np.random.RandomState(2).randint(-8, 8, 300) // 3

    def ask(torch):
        counts = torch.from_numpy(codes + 8).bincount().double()
        entropy = torch.distributions.Categorical(counts / counts.sum()).entropy()
        return {"bits": (entropy / math.log(2)).numpy()}

    answer = compare.answers(ask, (codes,))["bits"]
    assert math.isclose(quantize.code_entropy(codes), answer, rel_tol=1e-12)


@contract
def test_quantization_error_wants_one_number_for_each():
    """Broadcasting would compare what does not belong together."""
    with pytest.raises(ValueError, match=r"x is \(3,\) and x_hat \(1,\)"):
        quantize.quantization_error(np.ones(3), np.ones(1))


@contract
def test_quantization_error_refuses_nothing_and_nan():
    """There is no mean of nothing, nor of NaN."""
    with pytest.raises(ValueError, match="empty, and has no mean"):
        quantize.quantization_error(np.ones((0, 2)), np.ones((0, 2)))
    with pytest.raises(ValueError, match="x_hat holds 1 number that is NaN"):
        quantize.quantization_error(np.ones(2), np.array([1, np.nan]))


@contract
def test_code_entropy_refuses_nothing_and_numbers():
    """Codes are whole, and there are some."""
    with pytest.raises(ValueError, match="codes is empty"):
        quantize.code_entropy(np.array([], int))
    with pytest.raises(ValueError, match="integers"):
        quantize.code_entropy(np.ones(3))
