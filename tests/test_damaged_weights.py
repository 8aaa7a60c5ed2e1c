"""Weights that are not what they should be: not finite, not floating, too large.

Each is one error that names the tensor, when it is first used at the latest; a model
never talks nonsense because of a damaged number. And weights that are fine in another
precision work.
"""

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import refvlm
from refvlm import checkpoint
from refvlm.models import fastvlm

from . import tiny
from .spec import assert_close, contract, law

WEIGHTS = "model.safetensors"
PROMPT = [[72, 105, 10, fastvlm.IMAGE, 10, 63]]
PIXELS = tiny.pictures(1).astype(np.float32)
FINAL = "language_model__norm__weight"
SCALES = "stages__0__blocks__0__mlp__conv__bn__running_var"


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tiny.write_checkpoint(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def vlm(directory):
    return refvlm.load(directory)


def load_with(directory, tmp_path, **changed):
    """The tiny model with some tensors replaced; `__` stands for a dot."""
    tensors = load_file(directory / WEIGHTS)
    for name, change in changed.items():
        (name,) = (n for n in tensors if n.endswith(name.replace("__", ".")))
        tensors[name] = change(tensors[name])
    save_file(tensors, tmp_path / WEIGHTS)
    for path in directory.glob("*.json"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return refvlm.load(tmp_path)


def spoilt(value):
    def change(array):
        array = array.copy()
        array.flat[-1] = value
        return array

    return change


@law
@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_load_computes_in_the_precision_that_is_asked_for(vlm, directory, dtype):
    """The pixels follow the weights, whatever they came in."""
    logits = refvlm.load(directory, dtype=dtype).logits(PIXELS, PROMPT)
    assert logits.dtype == dtype
    near = 1e-1 if dtype == np.float16 else 1e-4
    assert_close(logits.astype(np.float32), vlm.logits(PIXELS, PROMPT), near)


@law
def test_load_reads_float64_on_disk(vlm, directory, tmp_path):
    """Doubles are read as float32 like everything else."""
    again = refvlm.load(tiny.write_checkpoint(tmp_path, dtype=np.float64))
    logits = again.logits(PIXELS.astype(np.float64), PROMPT)
    np.testing.assert_array_equal(logits, vlm.logits(PIXELS, PROMPT))


@contract
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", [FINAL, SCALES])
def test_load_names_a_tensor_that_is_not_finite(directory, tmp_path, name, value):
    """It is found when first used: while folding, or in the first answer."""
    with pytest.raises(checkpoint.CheckpointError) as error:
        load_with(directory, tmp_path, **{name: spoilt(value)}).logits(PIXELS, PROMPT)
    assert f"{name.replace('__', '.')}' holds {value}" in str(error.value)


@contract
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [-1.0, -1e-5])
def test_load_names_what_folding_makes_infinite(directory, tmp_path, value):
    """A variance below zero is a number, but its root is none."""
    with pytest.raises(checkpoint.CheckpointError, match="folding makes .*mlp.conv"):
        load_with(directory, tmp_path, **{SCALES: spoilt(value)})


@contract
@pytest.mark.filterwarnings("error")
def test_generate_refuses_scores_that_are_not_finite(directory, tmp_path):
    """Weights that are finite but absurd overflow: an error, never a made-up answer."""
    vlm = load_with(directory, tmp_path, **{FINAL: lambda array: array + 3e38})
    for ask in (vlm.logits, lambda *given: vlm.generate(*given, 2)):
        with pytest.raises(checkpoint.CheckpointError, match="are not finite"):
            ask(PIXELS, PROMPT)


@contract
def test_load_refuses_whole_numbers_for_weights(directory, tmp_path):
    """Quantised weights without their scales would pass as weights."""
    with pytest.raises(checkpoint.CheckpointError, match=r"1 not of floating numbers"):
        load_with(directory, tmp_path, **{FINAL: lambda array: array.astype(np.int32)})


@contract
@pytest.mark.filterwarnings("error")
def test_load_says_when_half_precision_is_too_narrow(directory, tmp_path):
    """A weight beyond 65504 cannot be float16; the message asks for a wider one."""
    vlm = load_with(directory, tmp_path, **{FINAL: lambda array: array * 1e6})
    assert np.isfinite(vlm.logits(PIXELS, PROMPT)).all()
    with pytest.raises(checkpoint.CheckpointError, match=r"norm.weight.* wider dtype"):
        refvlm.load(tmp_path, dtype=np.float16).logits(PIXELS, PROMPT)
