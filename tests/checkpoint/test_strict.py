"""Strict loading: a checkpoint fits, or every misfit is named at once."""

import numpy as np
import pytest

from refvlm.checkpoint import CheckpointError, Weights, expect

from ..spec import contract, example, law

SHAPES = {"weight": (3, 2), "bias": (3,)}


@example
def test_expect_accepts_what_fits():
    """Exactly the names and shapes that the model asks for, in any order."""
    weights = Weights({"bias": np.zeros(3), "weight": np.zeros((3, 2))})
    assert expect(weights, SHAPES) is None


@example
def test_expect_names_every_misfit_at_once():
    """One look at the message says all that is wrong with the file."""
    weights = Weights(
        {"weight": np.zeros((2, 3)), "extra": np.zeros(1)}, "m.safetensors"
    )
    with pytest.raises(CheckpointError) as caught:
        expect(weights, SHAPES)
    message = str(caught.value)
    assert "m.safetensors" in message
    assert "1 missing: 'bias'" in message
    assert "1 unexpected: 'extra'" in message
    assert "'weight' is (2, 3) and should be (3, 2)" in message


@law
def test_expect_ignores_by_pattern():
    """Tensors that this model has no use for may be let pass, by pattern."""
    weights = Weights(
        {
            "bias": np.zeros(3),
            "weight": np.zeros((3, 2)),
            "bn.num_batches_tracked": np.array(0),
            "bn.other": np.zeros(1),
        }
    )
    with pytest.raises(CheckpointError, match=r"1 unexpected: 'bn\.other'\."):
        expect(weights, SHAPES, ignore=["*.num_batches_tracked"])
    expect(weights, SHAPES, ignore=["*.num_batches_tracked", "bn.o*"])


@law
def test_expect_reads_nothing():
    """The check is of names and shapes alone, before any tensor is read."""

    class Shaped:
        shape, dtype = (3,), np.dtype(np.float32)

    weights = Weights({"bias": Shaped()})
    expect(weights, {"bias": (3,)})


@contract
def test_expect_keeps_its_message_short():
    """A model of another family misses everything; eight names and a count will do."""
    with pytest.raises(CheckpointError) as caught:
        expect(Weights({}), {f"layer.{i}.weight": (1,) for i in range(500)})
    assert "500 missing" in str(caught.value)
    assert "'layer.7.weight' and 492 more" in str(caught.value)
    assert "layer.8." not in str(caught.value)


@contract
def test_expect_wants_fractions():
    """Whole numbers where weights should be are quantised ones, without a scale."""
    weights = Weights({"weight": np.ones((3, 2), np.int8), "bias": np.zeros(3)})
    with pytest.raises(CheckpointError, match="1 not of floating numbers: 'weight'"):
        expect(weights, SHAPES)
