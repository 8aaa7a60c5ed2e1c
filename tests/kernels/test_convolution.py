"""The spec of refvlm/kernels/convolution.py."""

import numpy as np
import pytest

from refvlm.autodiff import Variable, backward
from refvlm.kernels import convolution
from refvlm.kernels.convolution import as_images, convolve, convolve_vjp, is_depthwise
from refvlm.ops import conv2d

from ..spec import assert_close, law, random_arrays


def a_convolution(groups=1):
    """x, weight, bias, and the options by position."""
    draw = random_arrays(91)
    return draw(2, 4, 6, 5), draw(8, 4 // groups, 3, 3), draw(8), (1, 1, 1, groups)


@law
def test_as_images_flattens_what_stands_before_the_channels():
    """A single picture is a batch of one; an empty batch stays empty."""
    assert as_images(np.zeros((3, 4, 5))).shape == (1, 3, 4, 5)
    assert as_images(np.zeros((2, 6, 3, 4, 5))).shape == (12, 3, 4, 5)
    assert as_images(np.zeros((0, 3, 4, 5))).shape == (0, 3, 4, 5)


@law
def test_depthwise_filters_are_told_by_their_weight():
    """Each of one channel, and not the only one."""
    assert is_depthwise(np.zeros((8, 1, 3, 3)), groups=4)
    assert not is_depthwise(np.zeros((8, 1, 3, 3)), groups=1)
    assert not is_depthwise(np.zeros((8, 2, 3, 3)), groups=2)


@law
@pytest.mark.parametrize("groups", [1, 2])
def test_convolve_keeps_the_columns_where_a_derivative_follows(groups):
    """The same numbers, and what is kept gives the same gradients."""
    x, weight, bias, options = a_convolution(groups)
    residuals = {}
    out = convolve(x, weight, bias, *options, residuals)
    assert residuals["columns"].shape == (2, groups, 36 // groups, 30)
    assert_close(out, convolve(x, weight, bias, *options, None), 1e-12)
    needs = ("x", "weight", "bias")
    read_again, laid_out = (
        convolve_vjp(out, x, weight, bias, *options, needs, columns)
        for columns in (residuals["columns"], None)
    )
    for once, twice in zip(laid_out, read_again):
        np.testing.assert_array_equal(once, twice)


@law
def test_the_tape_hands_the_columns_to_the_derivative(monkeypatch):
    """On the way back of a training step no window is laid out a second time."""
    runs = []

    def counted(*args):
        runs.append(args)
        return columns_of(*args)

    columns_of = convolution.columns_of
    monkeypatch.setattr(convolution, "columns_of", counted)
    x, weight, bias, options = a_convolution()
    out = conv2d(x, Variable(weight), bias, *options)
    backward(out, np.ones(out.shape))
    assert len(runs) == 1


@law
@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("needed", ["x", "weight", "bias"])
def test_convolve_vjp_computes_what_is_needed(needed, groups):
    """A frozen weight, or a picture that no layer comes before, costs nothing."""
    x, weight, bias, options = a_convolution(groups)
    d_out = np.ones((2, 8, 6, 5))
    gradients = convolve_vjp(d_out, x, weight, bias, *options, (needed,), None)
    names = ("x", "weight", "bias")
    computed = [name for name, d in zip(names, gradients) if d is not None]
    assert computed == [needed]
