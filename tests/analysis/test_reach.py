"""The spec of refvlm/analysis/reach.py."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from refvlm import ops
from refvlm.analysis import reach

from ..spec import assert_close, example, law, oracle, random_arrays


@example
def test_receptive_fields_of_three_layers():
    """Three pixels, then five; after a stride of two each new pixel counts double."""
    assert reach.receptive_fields([(3, 1), (3, 2), (3, 1)]) == [3, 5, 9]


@example
def test_receptive_fields_of_two_small_kernels_equal_one_larger():
    """Two 3 x 3 layers see what one 5 x 5 layer sees."""
    assert (
        reach.receptive_fields([(3, 1), (3, 1)])[-1]
        == reach.receptive_fields([(5, 1)])[-1]
    )


layers = st.lists(
    st.tuples(st.integers(1, 4), st.integers(1, 2), st.integers(1, 2)),
    min_size=1,
    max_size=3,
)


@law
@given(layers)
def test_receptive_fields_are_where_the_gradient_is_not_zero(layers):
    """What counting says, the derivative of a real stack of convolutions confirms."""
    draw, size = random_arrays(91), reach.receptive_fields(layers)[-1]

    def stack(x):
        for kernel, stride, dilation in layers:
            weight = np.abs(draw(1, 1, kernel, kernel)) + 0.1
            x = ops.conv2d(x, weight, None, stride, 0, dilation)
        return x

    felt = reach.influence(stack, np.ones((1, size, size))) > 0
    assert felt.shape == (size, size)
    rows, columns = np.nonzero(felt)
    assert (rows.min(), rows.max()) == (columns.min(), columns.max()) == (0, size - 1)


@law
def test_influence_is_zero_beyond_the_receptive_field():
    """A 3 x 3 filter at (4, 5) feels nine pixels, as much as its weights say."""
    weight = random_arrays(92)(1, 1, 3, 3)
    felt = reach.influence(
        lambda x: ops.conv2d(x, weight, padding=1), np.zeros((1, 9, 9)), (4, 5)
    )
    expected = np.zeros((9, 9))
    expected[3:6, 4:7] = np.abs(weight[0, 0])
    assert_close(felt, expected)


@oracle
def test_influence_equals_torch(compare):
    """The same question to torch.autograd, through a small network."""
    draw = random_arrays(93)

    def ours(x, first, second):
        def network(x):
            return ops.conv2d(ops.max_pool2d(ops.conv2d(x, first), 2), second)

        return reach.influence(network, x, (1, 0))

    def reference(torch):
        def felt(x, first, second):
            pool = torch.nn.functional.max_pool2d
            x = x.detach().requires_grad_()
            hidden = pool(torch.nn.functional.conv2d(x[None], first), 2)
            out = torch.nn.functional.conv2d(hidden, second)[0]
            (gradient,) = torch.autograd.grad(out[:, 1, 0].sum(), x)
            return gradient.abs().sum(0)

        return felt

    x, first, second = draw(2, 10, 10), draw(3, 2, 3, 3), draw(2, 3, 2, 2)
    compare(ours, reference, x, first, second, gradients=False)


@law
def test_receptive_fields_do_not_overflow_with_numpys_integers():
    """Strides multiply: after nine of 2 a step has no room in eight bits."""
    layers = np.array([(3, 2)] * 9, np.int8)
    fields = reach.receptive_fields(layers)
    assert fields == [2 ** (n + 1) - 1 for n in range(1, 10)]
