"""Weights: one mapping of tensors, seen under many names."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from refvlm.autodiff import Variable
from refvlm.checkpoint import CheckpointError, Weights, load

from ..spec import contract, example, law
from .files import small_file


def two_layers():
    return Weights(
        {
            "embed": np.zeros((5, 2)),
            "layers.1.weight": np.ones((2, 2)),
            "layers.1.bias": np.ones(2),
            "layers.11.weight": np.full((2, 2), 11.0),
        }
    )


@example
def test_weights_scope_drops_the_path(tmp_path):
    """A layer sees its own tensors, under the names that it knows; `1` is not `11`."""
    layer = two_layers().scope("layers.1")
    assert list(layer) == ["weight", "bias"]
    assert layer.shapes() == {"weight": (2, 2), "bias": (2,)}
    assert len(layer) == 2
    assert "bias" in layer
    assert "embed" not in layer
    assert layer.get("scale") is None
    np.testing.assert_array_equal(layer["weight"], np.ones((2, 2)))


@example
def test_weights_rename_speaks_another_dialect():
    """Regular expressions translate names; None leaves a tensor out."""
    renamed = two_layers().rename(
        [(r"^embed$", None), (r"^layers\.(\d+)\.", r"model.blocks.\1.")]
    )
    assert list(renamed) == [
        "model.blocks.1.weight",
        "model.blocks.1.bias",
        "model.blocks.11.weight",
    ]
    by_function = two_layers().rename(lambda name: name.upper())
    assert by_function.scope("LAYERS.1")["BIAS"].shape == (2,)


names = st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map(".".join)


@law
@hypothesis.given(keys=st.sets(names, max_size=12), path=names)
def test_weights_scopes_are_views(keys, path):
    """scope(p)[n] is weights[p.n], and scopes of scopes are the scope of the path."""
    weights = Weights({key: np.zeros(1) for key in sorted(keys)})
    scope = weights.scope(path)
    assert set(scope) == {k[len(path) + 1 :] for k in keys if k.startswith(path + ".")}
    for name in scope:
        assert scope[name] is weights[f"{path}.{name}"]
    nested = weights
    for part in path.split("."):
        nested = nested.scope(part)
    assert list(nested) == list(scope)


@law
def test_weights_views_share_what_is_read(tmp_path):
    """A tensor is read once, through whichever view it is first asked for."""
    weights = load(small_file(tmp_path / "m.safetensors"))
    renamed = weights.rename(lambda name: f"model.{name}")
    replaced = weights.replace({"a": np.zeros(2)})
    array = renamed.scope("model.b")["weight"]
    assert array is weights["b.weight"]
    assert array is replaced.scope("b")["weight"]
    assert array is weights.scope("b").get("weight")


@law
def test_weights_replace_gives_a_new_mapping():
    """Replacing changes the new mapping and its scopes, not the old one."""
    weights = two_layers()
    value = Variable(np.zeros(2))
    changed = weights.replace({"layers.1.bias": value})
    assert changed.scope("layers.1")["bias"] is value
    assert changed["layers.1.weight"] is weights["layers.1.weight"]
    assert weights.scope("layers.1")["bias"] is not value
    again = weights.scope("layers.1").replace({"bias": value})
    assert again["bias"] is value
    assert list(again) == ["weight", "bias"]


@law
def test_weights_compare_without_reading(tmp_path):
    """Two mappings are equal when they are one: comparing would read every tensor."""
    weights = load(small_file(tmp_path / "m.safetensors"))
    assert weights != weights.scope("b")
    assert {weights: 1}[weights] == 1
    assert repr(weights.scope("b")).startswith("<Weights: 3 tensors under 'b.' of ")


@contract
def test_weights_name_what_is_missing():
    """A missing name is given in full, with the nearest names; it is a KeyError too."""
    weights = two_layers()
    with pytest.raises(KeyError) as caught:
        weights.scope("layers.1")["wieght"]
    assert isinstance(caught.value, CheckpointError)
    message = str(caught.value)
    assert "no tensor 'layers.1.wieght'" in message
    assert "nearest names are 'layers.1.weight'" in message
    with pytest.raises(CheckpointError, match="no tensor 'x'$"):
        Weights({})["x"]
    with pytest.raises(CheckpointError, match=r"no tensor 'layers\.1\.scale'"):
        weights.replace({"layers.1.scale": np.ones(2)})


@contract
def test_weights_refuse_two_tensors_of_one_name():
    """A renaming that sends two tensors to one name would lose one of them."""
    with pytest.raises(
        CheckpointError, match=r"'layers\.1\.weight'.*both be named 'same'"
    ):
        two_layers().rename([(r"^layers.*weight$", "same")])


@contract
@pytest.mark.parametrize("tensors", [{"a": [1.0]}, {"a": None}, {3: np.ones(1)}])
def test_weights_hold_arrays_under_names(tensors):
    """A list is not an array, and a number is not a name."""
    with pytest.raises(CheckpointError):
        Weights(tensors)


@contract
def test_weights_cannot_be_changed():
    """The mapping has no way to be written to."""
    weights = two_layers()
    with pytest.raises(TypeError):
        weights["embed"] = np.zeros(1)
    with pytest.raises(TypeError):
        del weights["embed"]
