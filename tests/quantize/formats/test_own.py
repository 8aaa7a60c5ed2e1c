"""The spec of refvlm/quantize/formats/own.py: three values a weight, on the disk."""

import copy
import json
import pickle
import random
import shutil

import numpy as np
import pytest

import refvlm
from refvlm import checkpoint
from refvlm.checkpoint import CheckpointError
from refvlm.pretrained import save
from refvlm.quantize import SCHEMES, Ternary
from refvlm.quantize.formats import own

from ... import tiny
from ...checkpoint.test_hostile_files import mutate_file
from ...spec import contract, example, law, random_arrays
from .test_bitsandbytes import described, logits, survives

UP = "model.layers.1.mlp.up_proj.weight"


def write(directory):
    """A Qwen2 of three values, as we lay it out; its tensors."""
    config, tensors = described("qwen2")
    files, matrices = {}, {}
    for name, array in tensors.items():
        single = array.astype(np.float32)
        if name.endswith("_proj.weight"):
            matrices[name] = SCHEMES["ternary"].pack(single)
            files |= own.tensors(name, matrices[name])
        else:
            files[name] = single
    said = own.configuration(matrices, [])
    save(directory, files, tiny.byte_tokenizer(), config={**config, **said})
    return files


def rewrite(directory, files):
    checkpoint.save(directory / "model.safetensors", files)


@example
def test_tensors_are_five_values_a_byte_and_a_scale():
    """1, 0, -1 are the digits 2, 1, 0: 2 + 3 + 27 + 81, with two zeros behind them."""
    matrix = SCHEMES["ternary"].pack(np.array([[3.0, 0.0, -3.0]], np.float32))
    found = own.tensors("x", matrix)
    assert found["x"].tolist() == [2 + 3 + 0 + 27 + 81]
    assert found["x.shape"].tolist() == [1, 3]
    assert found["x.scale"].shape == () and found["x.scale"] == np.float32(2)
    said = own.configuration({"x": matrix}, [])
    assert said == {
        "quantization_config": {"quant_method": "refvlm", "scheme": "ternary"}
    }


@law
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (33, 130)])
def test_read_gives_what_tensors_wrote(tmp_path, shape):
    """Through a file and back, every number stays, and in a copy of that."""
    packed = SCHEMES["ternary"].pack(random_arrays(4)(*shape).astype(np.float32))
    path = tmp_path / "m.safetensors"
    checkpoint.save(path, own.tensors("x.weight", packed))
    said = {"scheme": "ternary"}
    weights = own.read(checkpoint.load(path), said, "config.json", np.float32)
    matrix = weights.tensor("x.weight")
    assert isinstance(matrix, Ternary) and matrix.shape == shape
    for one in (matrix, copy.deepcopy(matrix), pickle.loads(pickle.dumps(matrix))):
        np.testing.assert_array_equal(one.array(), packed.array())


@law
def test_load_says_what_the_rounded_weights_say(tmp_path):
    """The logits are those of a float directory with the weights rounded before."""
    config, tensors = described("qwen2")
    write(tmp_path / "packed")
    rounded = {
        n: SCHEMES["ternary"].rounded(a.astype(np.float32))
        if n.endswith("_proj.weight")
        else a.astype(np.float32)
        for n, a in tensors.items()
    }
    save(tmp_path / "float", rounded, tiny.byte_tokenizer(), config=config)
    ours, expected = (refvlm.load(tmp_path / kind) for kind in ("packed", "float"))
    np.testing.assert_array_equal(logits(ours), logits(expected))


WRONG = {
    "no shape": ({f"{UP}.shape": None}, r"shape' is missing"),
    "no scale": ({f"{UP}.scale": None}, "without their scale"),
    "no codes": ({UP: None}, r"up_proj.weight' is missing"),
    "a byte too few": ({UP: np.zeros(307, np.uint8)}, r"should be \(308,\)"),
    "codes of words": ({UP: np.zeros(308, np.int32)}, "dtype I32"),
    "many scales": ({f"{UP}.scale": np.ones(48, np.float32)}, r"should be \(\)"),
    "a half scale": ({f"{UP}.scale": np.array(1, np.float16)}, "dtype F16"),
    "three sides": ({f"{UP}.shape": np.array([48, 32, 1])}, r"should be \(2,\)"),
    "another shape": ({f"{UP}.shape": np.array([32, 48])}, "does not fit this model"),
    "a larger shape": ({f"{UP}.shape": np.array([48, 64])}, r"should be \(615,\)"),
    "no rows": ({f"{UP}.shape": np.array([0, 32])}, "shape is said to be"),
    "negative": ({f"{UP}.shape": np.array([-48, -32])}, "shape is said to be"),
    "huge": ({f"{UP}.shape": np.array([1 << 62, 1])}, "shape is said to be"),
}


@contract
@pytest.mark.parametrize("wrong", WRONG)
def test_load_refuses_three_values_that_contradict_themselves(tmp_path, wrong):
    """Each inconsistency is one error that names the tensor."""
    changes, message = WRONG[wrong]
    files = {**write(tmp_path), **changes}
    rewrite(tmp_path, {n: array for n, array in files.items() if array is not None})
    with pytest.raises(CheckpointError, match=message) as refusal:
        refvlm.load(tmp_path)
    said = str(refusal.value)
    assert UP in said and "model.safetensors" in said


@contract
@pytest.mark.parametrize("byte", [243, 255])
def test_load_refuses_bytes_that_five_values_never_make(tmp_path, byte):
    """Found when the matrix is first looked up, by its name."""
    files = write(tmp_path)
    codes = files[UP].copy()
    codes[100] = byte
    rewrite(tmp_path, {**files, UP: codes})
    model = refvlm.load(tmp_path)
    with pytest.raises(
        CheckpointError, match=f"up_proj.weight' holds a byte of {byte}"
    ):
        logits(model)


@contract
@pytest.mark.parametrize("scheme", [None, "binary", 3, ["ternary"]])
def test_load_refuses_schemes_that_it_never_wrote(tmp_path, scheme):
    """What comes of a later version, or of nowhere."""
    write(tmp_path)
    path = tmp_path / "config.json"
    document = json.loads(path.read_text())
    document["quantization_config"]["scheme"] = scheme
    path.write_text(json.dumps(document))
    with pytest.raises(CheckpointError, match="of which only 'ternary' is known"):
        refvlm.load(tmp_path)


@contract
def test_hostile_three_values_give_one_error_or_an_answer(tmp_path):
    """Two hundred damaged files."""
    good, bad = tmp_path / "good", tmp_path / "bad"
    write(good)
    content = (good / "model.safetensors").read_bytes()
    rng, answered = random.Random(5), 0
    for _ in range(200):
        shutil.copytree(good, bad, dirs_exist_ok=True)
        (bad / "model.safetensors").write_bytes(mutate_file(content, rng))
        answered += survives(bad)
    assert 10 < answered < 150, "the mutants are all alike, so this proves nothing"
