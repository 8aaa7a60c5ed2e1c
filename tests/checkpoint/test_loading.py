"""Opening a checkpoint: one file or many, and nothing but what was meant."""

import json
import os

import numpy as np
import pytest

from refvlm.checkpoint import CheckpointError, load, save

from ..spec import contract, example, law
from .files import small_file

INDEX = "model.safetensors.index.json"


def sharded(directory, weight_map=None):
    """A checkpoint of two shards and its index."""
    save(directory / "model-1.safetensors", {"a": np.ones(2), "b": np.zeros(3)})
    save(directory / "model-2.safetensors", {"c": np.full(4, 5.0)})
    places = {"a": "model-1.safetensors", "b": "model-1.safetensors"}
    places["c"] = "model-2.safetensors"
    document = {
        "metadata": {},
        "weight_map": places if weight_map is None else weight_map,
    }
    (directory / INDEX).write_text(json.dumps(document))
    return directory


@example
def test_load_takes_a_file_or_its_directory(tmp_path):
    """`model.safetensors` is found in the directory of a downloaded model."""
    path = small_file(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(load(path)["a"], load(str(tmp_path))["a"])


@example
def test_load_joins_shards(tmp_path):
    """A sharded checkpoint is one mapping."""
    weights = load(sharded(tmp_path))
    assert weights.shapes() == {"a": (2,), "b": (3,), "c": (4,)}
    np.testing.assert_array_equal(weights["c"], np.full(4, 5, np.float32), strict=True)
    assert load(tmp_path / INDEX).keys() == weights.keys()


@law
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, "float32"])
def test_load_gives_the_dtype_asked_for(tmp_path, dtype):
    """Whatever the file holds, the caller computes in the type asked for."""
    weights = load(small_file(tmp_path / "m.safetensors"), dtype)
    assert weights["a"].dtype == weights["b.weight"].dtype == np.dtype(dtype)
    assert weights["a"].tolist() == [1.0, 2.0]


ESCAPES = [
    "../model-2.safetensors",
    "/etc/passwd",
    "/model-2.safetensors",
    "sub/model-2.safetensors",
    "sub\\model-2.safetensors",
    "C:model-2.safetensors",
    "model-2.safetensors\0",
    ".safetensors",
    "..",
    "",
    "model-2.bin",
    "x" * 300 + ".safetensors",
    7,
    None,
    ["model-2.safetensors"],
]


@contract
@pytest.mark.parametrize("shard", ESCAPES)
def test_load_index_cannot_leave_its_directory(tmp_path, shard):
    """A shard is a plain file name: an index is no way to open other files."""
    (tmp_path / "sub").mkdir()
    sharded(tmp_path, {"c": shard})
    with pytest.raises(CheckpointError, match="a plain file name"):
        load(tmp_path)


FIRST, SECOND = "model-1.safetensors", "model-2.safetensors"


@contract
@pytest.mark.parametrize(
    ("weight_map", "message"),
    [
        ({}, "weight_map"),
        ([], "weight_map"),
        ({"a": FIRST, "b": FIRST, "c": "model-3.safetensors"}, "not there"),
        ({"a": FIRST, "b": FIRST, "c": SECOND, "d": SECOND}, "lacks 'd'"),
        ({"a": FIRST, "b": SECOND, "c": SECOND}, "lacks 'b'|also holds 'b'"),
    ],
)
def test_load_index_and_shards_have_to_agree(tmp_path, weight_map, message):
    """Each shard holds just the tensors that the index says, or two downloads met."""
    with pytest.raises(CheckpointError, match=message):
        load(sharded(tmp_path, weight_map))


@law
def test_load_takes_what_an_index_leaves_out(tmp_path):
    """A buffer that no index lists, rotary_emb.inv_freq, is there as in a single file:
    whether it may be is asked once, when the tensors are held against the model."""
    weights = load(sharded(tmp_path, {"a": FIRST, "c": SECOND}))
    assert set(weights) == {"a", "b", "c"}


@contract
def test_load_refuses_what_two_shards_hold_and_no_index_places(tmp_path):
    """Of two tensors of one name that the index leaves out, neither is meant more."""
    sharded(tmp_path, {"a": FIRST, "c": SECOND})
    save(tmp_path / SECOND, {"c": np.ones(4), "b": np.zeros(2)})
    with pytest.raises(CheckpointError, match="'b' is in two shards"):
        load(tmp_path)


@contract
def test_load_refuses_a_tensor_in_two_shards(tmp_path):
    """Of two tensors of one name, no one can say which is meant."""
    sharded(tmp_path)
    save(tmp_path / SECOND, {"c": np.ones(4), "a": np.zeros(2)})
    with pytest.raises(CheckpointError, match="also holds 'a'"):
        load(tmp_path)


@contract
@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "m.pth", "m.ckpt"])
def test_load_never_opens_a_pickle(tmp_path, name):
    """A pickle is a program. It is not opened, and the way to convert it is given."""
    (tmp_path / name).write_bytes(b"\x80\x04.")
    for path in (tmp_path, tmp_path / name):
        with pytest.raises(CheckpointError, match=r"pickle.*PyTorch: .*save_file"):
            load(path)


@contract
def test_load_says_what_is_there_instead(tmp_path):
    """An empty directory, another name, a pipe, a missing file: each gets a word."""
    with pytest.raises(CheckpointError, match="has neither"):
        load(tmp_path)
    small_file(tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match=r"rename it model\.safetensors"):
        load(tmp_path)
    with pytest.raises(CheckpointError, match="no such file"):
        load(tmp_path / "absent.safetensors")
    with pytest.raises(CheckpointError):
        load(tmp_path / "nul\0.safetensors")
    os.mkfifo(tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match="not an ordinary file"):
        load(tmp_path)


@contract
@pytest.mark.parametrize(
    "dtype", [np.int32, "complex64", np.longdouble, bool, "bfloat16", "half-size"]
)
def test_load_computes_in_floating_types(tmp_path, dtype):
    """Weights in integers would be weights rounded to nothing."""
    with pytest.raises(CheckpointError, match="dtype is .*, not float16, 32 or 64"):
        load(small_file(tmp_path / "m.safetensors"), dtype)
