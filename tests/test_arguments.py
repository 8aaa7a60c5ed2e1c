"""The spec of refvlm/arguments.py."""

import numpy as np
import pytest

from refvlm.arguments import check_axes, check_whole, is_whole, per_axis

from .spec import contract, example


@example
def test_is_whole_tells_numbers_from_flags():
    """3 is whole in NumPy too; 3.0 is a measure, True an answer."""
    assert is_whole(3) and is_whole(np.int8(-3))
    assert not any(map(is_whole, (3.0, True, np.True_, "3", None)))


@contract
@pytest.mark.parametrize("k", [0, -1, 2.0, True, "2", None])
def test_check_whole_names_function_argument_and_value(k):
    """The message is all that a reader needs to mend the call."""
    check_whole("topk", least=1, k=1)
    with pytest.raises(ValueError, match="topk: k must be .* at least 1, not"):
        check_whole("topk", least=1, k=k)


@contract
def test_check_axes_takes_a_tuple_only_where_there_may_be_several():
    """Two axes at once are a sum's business, not a sort's."""
    check_axes("logsumexp", "dim", (0, -1), "x", (2, 3), several=True)
    with pytest.raises(ValueError, match=r"topk: dim must be a whole number, not \(0"):
        check_axes("topk", "dim", (0, 1), "x", (2, 3))
    with pytest.raises(ValueError, match=r"dim \(1, -1\) names an axis twice"):
        check_axes("logsumexp", "dim", (1, -1), "x", (2, 3), several=True)


@contract
@pytest.mark.parametrize("value", [(1, 2, 3), 1.5, (1, 2.0), "ab"])
def test_per_axis_wants_a_whole_number_or_one_for_each_axis(value):
    """The message names the parameter and shows what was given."""
    with pytest.raises(ValueError, match="stride must be a whole number or 2 of them"):
        per_axis(value, 2, "stride")
