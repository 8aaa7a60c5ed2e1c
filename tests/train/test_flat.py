"""The spec of refvlm/train/flat.py."""

import numpy as np
import pytest

from refvlm.train.flat import Layout

from ..spec import contract, example, law, random_arrays


def by_first_letter(name, array):
    return name[0]


def some_arrays():
    draw = random_arrays(1)
    return {"b1": draw(3, 2), "a2": draw(4), "a1": draw(2, 1, 2), "c": draw()}


@example
def test_layout_of_two_groups():
    """Groups in order, names in order within them, places end to end."""
    layout = Layout.of(
        {"b": np.ones(2), "a2": np.ones(1), "a1": np.ones(3)}, by_first_letter
    )
    assert list(layout.places) == ["a1", "a2", "b"]
    assert layout.groups == {"a": slice(0, 4), "b": slice(4, 6)} and layout.size == 6


@law
def test_layout_unpacks_what_it_packed():
    """There and back; and the vector is the arrays' own copy."""
    arrays = some_arrays()
    layout = Layout.of(arrays, by_first_letter)
    flat = layout.pack(arrays)
    back = layout.unpack(flat)
    assert back.keys() == arrays.keys() and flat.shape == (15,)
    for name, array in arrays.items():
        np.testing.assert_array_equal(back[name], array)
        assert back[name].shape == array.shape
        assert np.shares_memory(back[name], flat)
        assert not np.shares_memory(array, flat)


@law
@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_layout_chunks_cover_every_number_once(monkeypatch, chunk):
    """No number is stepped twice, and each with the settings of its group."""
    monkeypatch.setattr("refvlm.train.flat.CHUNK", chunk)
    arrays = some_arrays()
    layout = Layout.of(arrays, by_first_letter)
    visits, groups = np.zeros(layout.size), np.empty(layout.size, object)
    for part, group in layout.chunks():
        visits[part] += 1
        groups[part] = group
        assert 0 < part.stop - part.start <= chunk
    assert np.all(visits == 1)
    for name, place in layout.places.items():
        assert set(groups[place]) == {name[0]}


@law
def test_layout_digest_knows_names_shapes_and_groups_but_no_order():
    """The same parameters in another order are the same; anything else is not."""
    arrays = some_arrays()
    digest = Layout.of(arrays, by_first_letter).digest
    backwards = {name: arrays[name] for name in reversed(arrays)}
    assert Layout.of(backwards, by_first_letter).digest == digest
    renamed = {"a3" if n == "a2" else n: a for n, a in arrays.items()}
    reshaped = {**arrays, "a2": arrays["a2"].reshape(2, 2)}
    for other in (renamed, reshaped):
        assert Layout.of(other, by_first_letter).digest != digest
    assert Layout.of(arrays, lambda name, array: 0).digest != digest


@contract
def test_layout_refuses_what_is_not_float_of_one_dtype():
    """Nothing at all, integers, or two precisions."""
    for arrays, message in (
        ({}, "here is nothing"),
        ({"a": np.ones(2, int)}, "here is int64"),
        ({"a": np.ones(2), "b": np.ones(2, np.float32)}, "here is float32, float64"),
    ):
        with pytest.raises(ValueError, match=message):
            Layout.of(arrays, by_first_letter)
