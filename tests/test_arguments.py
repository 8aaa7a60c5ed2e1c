"""The spec of refvlm/arguments.py."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from refvlm.arguments import check_axes, check_whole, is_whole, per_axis, several

from .spec import contract, example, law


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


@law
@pytest.mark.parametrize(
    "items",
    [
        ["a", "b"],
        ("a", "b"),
        (letter for letter in "ab"),
        iter(["a", "b"]),
        np.array(["a", "b"]),
        np.array(["a", "b"], object),
    ],
)
def test_several_takes_whatever_is_a_list(items):
    """A list, a tuple, a generator, an array: the same list."""
    assert several("answers", "prompts", items) == ["a", "b"]
    batch = np.zeros((2, 3, 3, 3), np.uint8)
    assert [row.shape for row in several("f", "pictures", batch)] == [(3, 3, 3)] * 2


@contract
@pytest.mark.parametrize(
    ("alone", "what"),
    [
        ("photo.jpg", "one str alone"),
        (b"photo", "one bytes alone"),
        (Path("photo.jpg"), "one PosixPath alone"),
        (io.BytesIO(b"photo"), "one BytesIO alone"),
        (Image.new("RGB", (2, 2)), "one Image alone"),
        (np.zeros((4, 4, 3)), "an array of shape (4, 4, 3) alone"),
        (np.zeros(3), "an array of shape (3,) alone"),
        ({"a": 1}, "one dict alone"),
        ({"a"}, "one set alone"),
        (None, "one NoneType alone"),
        (3, "one int alone"),
    ],
)
def test_several_refuses_one_thing_alone(alone, what):
    """A text would be read letter by letter, a picture row by row; a set has no order
    in which answers could be given."""
    with pytest.raises(ValueError) as caught:
        several("answers", "pictures", alone)
    told = f"answers: pictures is a list, even of one, [picture], not {what}"
    assert str(caught.value) == told


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
