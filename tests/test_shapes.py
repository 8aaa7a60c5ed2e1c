"""The spec of refvlm/shapes.py."""

import timeit

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm import ops
from refvlm.autodiff import Variable
from refvlm.shapes import Axes, ShapeError, parse, shapes

from .spec import contract, example, law


@shapes(query="... q d", key="... k d", value="... k e", returns="... q e")
def attend(query, key, value, scale=1.0):
    """A product that keeps its contract."""
    return query @ key.swapaxes(-1, -2) @ value


@shapes(x="... n_in", weight="n_out n_in", bias="n_out", returns="... n_out")
def linear(x, weight, bias=None):
    """The contract that most operators have."""
    out = x @ weight.T
    return out if bias is None else out + bias


@shapes(points="n 2", image="b c ...", query="...q h", key="...k h")
def other(points=None, image=None, query=None, key=None):
    """Numbers, further axes, and two groups that do not broadcast together."""
    return True


@shapes(x="...", dim="axes of x")
def total(x, dim=None):
    """A sum over axes that may be named."""
    return np.asarray(x.sum(axis=dim))


@example
def test_shapes_reads_a_contract():
    """Words are axes, digits are sizes, dots stand for any number of axes."""
    assert parse("... q d") == Axes("...", ("q", "d"), False)
    assert parse("...kv k 2") == Axes("...kv", ("k", 2), False)
    assert parse("b c ...") == Axes("", ("b", "c"), True)
    assert parse("") == Axes("", (), False)


@example
def test_shapes_says_what_is_wrong():
    """The function, the argument, its shape, the axis, and what had fixed it."""
    with pytest.raises(ShapeError) as error:
        attend(np.zeros((2, 3, 4)), np.zeros((2, 5, 3)), np.zeros((2, 5, 6)))
    assert str(error.value) == (
        "attend: key is (2, 5, 3), but d = 4 (from query (2, 3, 4))"
    )


@law
@given(st.lists(st.sampled_from(["batch", "q", "d", 3, 17]), max_size=4), st.booleans())
def test_shapes_prints_a_contract_as_it_was_written(names, leading):
    """Reading what was printed gives the same contract."""
    axes = Axes("..." if leading else "", tuple(names), False)
    assert parse(str(axes)) == axes


@law
@given(
    st.integers(1, 4),
    st.integers(1, 4),
    st.sampled_from([(), (3,), (2, 3), (1, 3), (2, 1)]),
    st.sampled_from([(), (3,), (2, 3), (2, 1)]),
)
def test_shapes_lets_leading_axes_broadcast_as_numpy_does(q, k, first, second):
    """What NumPy would broadcast is let through, and comes out broadcast."""
    out = attend(np.ones((*first, q, 2)), np.ones((*second, k, 2)), np.ones((k, 5)))
    assert out.shape == (*np.broadcast_shapes(first, second), q, 5)


@law
def test_shapes_gives_axes_that_end_a_contract_their_freedom():
    """`b c ...` takes pictures, videos and plain vectors alike."""
    for shape in [(2, 3), (2, 3, 4), (2, 3, 4, 5, 6)]:
        assert other(image=np.zeros(shape))


@law
def test_shapes_keeps_named_groups_apart():
    """`...q` and `...k` do not have to broadcast with each other."""
    assert other(query=np.zeros((2, 4)), key=np.zeros((3, 4)))


@law
def test_shapes_does_not_look_at_none():
    """A missing bias has no shape."""
    assert linear(np.zeros((5, 3)), np.zeros((2, 3)), None).shape == (5, 2)


@law
def test_shapes_reads_arguments_by_position_and_by_name():
    """The same call, written in two ways, meets the same contract."""
    wrong = np.zeros((2, 4))
    for call in (
        lambda: linear(np.zeros((5, 3)), wrong),
        lambda: linear(weight=wrong, x=np.zeros((5, 3))),
    ):
        with pytest.raises(ShapeError, match="weight is .2, 4., but n_in = 3"):
            call()


@law
def test_shapes_says_what_an_array_holds():
    """Floating numbers unless the contract ends otherwise."""

    @shapes(ids="n of integers", mask="n of booleans", values="n of numbers")
    def look_up(ids, mask, values, table=None):
        return values[ids] * mask

    ids, mask, values = np.array([0]), np.array([True]), np.array([5])
    look_up(ids, mask, values)
    look_up(ids, mask, values / 2)
    for wrong in ((values / 2, mask, values), (ids, ids, values), (ids, mask, mask)):
        with pytest.raises(ValueError, match="look_up: .* holds .*, but needs"):
            look_up(*wrong)
    with pytest.raises(ValueError, match=r"x holds int64, but needs floating"):
        linear(np.ones((5, 3), np.int64), np.zeros((2, 3)))


@law
@pytest.mark.parametrize("dim", [0, 1, -2, np.int64(1)])
def test_shapes_knows_the_axes_of_an_array(dim):
    """A dim counts from either end, and has to be there."""
    assert total(np.ones((2, 3)), dim).size in (2, 3)
    assert total(np.ones((2, 3))).shape == total(np.ones((2, 3)), None).shape == ()


@law
def test_shapes_holds_for_a_variable():
    """A Variable has a shape like any array, and the message is the same."""
    with pytest.raises(ShapeError, match="weight is .2, 4., but n_in = 3"):
        linear(Variable(np.zeros((5, 3))), np.zeros((2, 4)))
    assert linear(Variable(np.zeros((5, 3))), np.zeros((2, 3))).shape == (5, 2)


@law
def test_shapes_leaves_the_function_its_name():
    """Help and signatures show the function, not what watches over it."""
    assert attend.__name__ == "attend"
    assert attend.__doc__ == "A product that keeps its contract."


@law
def test_shapes_costs_microseconds():
    """A contract is parsed once; checking it is cheap beside any real array."""
    x, weight, bias = np.zeros((4, 3)), np.zeros((2, 3)), np.zeros(2)
    calls = 2000
    checked = min(timeit.repeat(lambda: linear(x, weight, bias), number=calls))
    bare = linear.__wrapped__
    plain = min(timeit.repeat(lambda: bare(x, weight, bias), number=calls))
    assert (checked - plain) / calls < 50e-6  # about 3e-6; a busy machine is slower


@contract
def test_shapes_refuses_too_few_axes():
    """The message writes the contract out."""
    with pytest.raises(
        ShapeError, match=r"query is \(4,\), but needs at least 2 axes: \.\.\. q d"
    ):
        attend(np.zeros(4), np.zeros((2, 4)), np.zeros((2, 4)))


@contract
def test_shapes_refuses_too_many_axes():
    """Without dots the number of axes is exact."""
    with pytest.raises(
        ShapeError, match=r"weight is \(1, 2, 3\), but needs 2 axes: n_out n_in"
    ):
        linear(np.zeros((5, 3)), np.zeros((1, 2, 3)))


@contract
def test_shapes_refuses_another_number():
    """A number in a contract stands for itself."""
    with pytest.raises(ShapeError, match=r"points is \(5, 3\), but needs 2 where it"):
        other(points=np.zeros((5, 3)))


@contract
def test_shapes_refuses_leading_axes_that_do_not_broadcast():
    """The message names both arguments."""
    with pytest.raises(
        ShapeError,
        match=r"key .* leading axes \(3,\) do not broadcast with \(2,\) \(from query\)",
    ):
        attend(np.zeros((2, 3, 4)), np.zeros((3, 5, 4)), np.zeros((5, 6)))


@contract
def test_shapes_refuses_leading_axes_that_only_some_share():
    """A pair may broadcast and the third still not."""
    with pytest.raises(ShapeError, match="value .* do not broadcast"):
        attend(np.zeros((2, 3, 4)), np.zeros((1, 5, 4)), np.zeros((3, 5, 6)))


@contract
@pytest.mark.parametrize("thing", [[[1.0, 2.0]], 3.0, "picture"])
def test_shapes_refuses_what_is_no_array(thing):
    """A list is not an array: say so before arithmetic says something stranger."""
    with pytest.raises(
        TypeError, match=f"x must be an array, not {type(thing).__name__}"
    ):
        linear(thing, np.zeros((2, 2)))


@contract
def test_shapes_refuses_none_where_an_array_must_be():
    """Only what is None by default, or by contract, may be missing."""
    with pytest.raises(TypeError, match="weight must be an array, not NoneType"):
        linear(np.zeros((5, 3)), None)

    @shapes(x="n", running_mean="n or None")
    def centre(x, running_mean):
        return x if running_mean is None else x - running_mean

    assert centre(np.ones(2), None).tolist() == [1, 1]


@contract
@pytest.mark.parametrize("dim", [2, -3, (0, 2), (0, -2), "rows", 1.0, True])
def test_shapes_refuses_an_axis_that_is_not_there(dim):
    """The message names the function and the argument."""
    with pytest.raises(ValueError, match="total: dim"):
        total(np.ones((2, 3)), dim)


@contract
@pytest.mark.parametrize("returned", [(3,), (2, 3), (5, 3, 4), (5, 3, 2, 1)])
def test_shapes_refuses_a_result_that_breaks_its_promise(returned):
    """What a function returns is checked too: the error is its author's."""

    @shapes(x="... q d", returns="... q d")
    def careless(x):
        return np.zeros(returned)

    with pytest.raises(
        ShapeError, match=r"careless: returned .* but promises \.\.\. q"
    ):
        careless(np.zeros((5, 3, 2)))


@contract
def test_shapes_refuses_a_result_with_too_few_axes():
    """Further axes are allowed, missing ones are not."""

    @shapes(x="b c ...", returns="b c ...")
    def careless(x):
        return x[:, 0, 0]

    with pytest.raises(ShapeError, match="careless: returned .2,., but promises b c"):
        careless(np.zeros((2, 3, 4)))

    @shapes(x="... q d", returns="... q d")
    def flat(x):
        return x[0]

    with pytest.raises(ShapeError, match="flat: returned .2,., but promises"):
        flat(np.zeros((2, 2)))


@contract
@pytest.mark.parametrize(
    "text", ["n of apples", "n or nothing", "q ... d", "... c ...", "n-1", "2x", "b, c"]
)
def test_shapes_refuses_a_contract_that_means_nothing(text):
    """A slip in a contract is found when the function is defined."""
    with pytest.raises(ValueError, match="not a shape contract"):
        shapes(x=text)(lambda x: x)


@contract
def test_shapes_refuses_a_contract_for_a_parameter_that_is_not_there():
    """A misspelt parameter would never be checked."""
    with pytest.raises(ValueError, match="function has no parameter 'wieght'"):

        @shapes(wieght="n")
        def function(weight):
            return weight


@law
def test_half_precision_is_widened_beside_a_wider_array_too():
    """The squares of 300 overflow in float16, whatever the dtype of the weight is; and
    what is wider decides the result."""
    x = np.array([[300.0, -300.0, 400.0, 10.0]])
    weight = np.array([1.0, 2.0, 3.0, 4.0])
    expected = ops.layer_norm(x, (4,), weight)
    for half in (np.float16, np.dtype(">f2")):
        mixed = ops.layer_norm(x.astype(half), (4,), weight.astype(np.float32))
        assert mixed.dtype == np.float32
        np.testing.assert_allclose(mixed, expected, rtol=1e-5)
        alone = ops.layer_norm(x.astype(half), (4,))
        assert alone.dtype == np.float16
        np.testing.assert_allclose(alone, ops.layer_norm(x, (4,)), rtol=1e-3)


@law
@pytest.mark.parametrize("code", [">f4", ">f8"])
def test_another_byte_order_is_computed_in_this_machines(code):
    """Arrays from a file of another machine: the same numbers come out."""
    x = np.linspace(-2, 2, 12).reshape(3, 4)
    for function, rest in (
        (ops.masked_mean, (np.ones((3, 4)), 1)),
        (ops.softmax, ()),
        (ops.layer_norm, ((4,),)),
    ):
        ours = function(x.astype(code), *rest)
        assert ours.dtype == np.dtype(code).newbyteorder("=")
        np.testing.assert_allclose(ours, function(x, *rest), rtol=1e-6)


@contract
def test_a_list_of_no_axes_is_refused():
    """Nothing would be normalised, or everything: neither was meant."""
    with pytest.raises(ValueError, match="layer_norm: normalized_shape is empty"):
        ops.layer_norm(np.ones((2, 3)), ())
