"""Stored tensors: read when first asked for, converted once, never changed."""

import copy
import os
import pickle
import subprocess
import sys
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import hypothesis
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from refvlm.checkpoint import CheckpointError, load, save

from ..spec import contract, example, law, oracle
from .files import entry, small_file, write_raw

DTYPES = ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?"]


@example
def test_stored_bfloat16_is_the_upper_half_of_a_float32(tmp_path):
    """0x3F80 is 1, 0xC000 is -2: a bfloat16 is a float32 with 16 zero bits after it."""
    weights = load(small_file(tmp_path / "m.safetensors"))
    expected = [[1.0, -2.0, 0.0], [0.5, 3.140625, 100.0]]
    np.testing.assert_array_equal(weights["b.weight"], np.float32(expected))
    assert weights["b.weight"].dtype == np.float32


@example
def test_stored_integers_and_flags_keep_their_type(tmp_path):
    """Only floating tensors become the dtype asked for: a count stays a count."""
    weights = load(small_file(tmp_path / "m.safetensors"), dtype=np.float16)
    assert weights["b.count"].dtype == np.int64
    assert weights["b.count"].shape == ()
    assert weights["b.count"] == 7
    assert weights["b.flag"].dtype == np.bool_
    assert weights["a"].dtype == np.float16


def arrays():
    """Small arrays of every storable type, some without numbers."""
    shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
    return st.sampled_from(DTYPES).flatmap(
        lambda dtype: hnp.arrays(
            dtype,
            shapes,
            elements=(
                st.floats(
                    allow_nan=False, allow_infinity=False, width=8 * int(dtype[1])
                )
                if dtype[0] == "f"
                else None
            ),
        )
    )


@law
@hypothesis.given(tensors=st.dictionaries(st.text(max_size=8), arrays(), max_size=5))
def test_stored_tensors_come_back_as_they_were(tmp_path_factory, tensors):
    """What is saved is what is loaded: names, shapes, types and every number."""
    path = tmp_path_factory.mktemp("round") / "m.safetensors"
    hypothesis.assume("__metadata__" not in tensors)
    save(path, tensors)
    weights = load(path, dtype=None)
    assert weights.keys() == tensors.keys()
    for name, array in tensors.items():
        assert weights[name].dtype == array.dtype
        np.testing.assert_array_equal(weights[name], array, strict=True)


@law
def test_stored_tensor_is_the_same_object_each_time(tmp_path):
    """Looking twice gives one array, so that a gradient is gathered in one place."""
    path = tmp_path / "m.safetensors"
    save(path, {"x": np.arange(60_000.0)})
    for dtype in (None, np.float32, np.float16):
        weights = load(path, dtype)
        with ThreadPoolExecutor(8) as pool:
            seen = list(pool.map(weights.__getitem__, ["x"] * 8))
        assert all(array is weights["x"] for array in seen)


@law
@pytest.mark.parametrize("kind", ["F32", "BF16", "I64", "BOOL"])
def test_stored_tensor_cannot_be_written_to(tmp_path, kind):
    """Weights are inputs, and inputs are never written to."""
    name = {"F32": "a", "BF16": "b.weight", "I64": "b.count", "BOOL": "b.flag"}[kind]
    array = load(small_file(tmp_path / "m.safetensors"))[name]
    with pytest.raises(ValueError, match="read-only"):
        array[...] = 0


@law
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_stored_tensor_is_held_once(tmp_path, dtype):
    """The bytes of the file and the array are never both in memory."""
    path = tmp_path / "m.safetensors"
    save(path, {"x": np.ones((1024, 1024), np.float32)})
    tracemalloc.start()
    try:
        array = load(path, dtype)["x"]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert array.nbytes < peak < 1.25 * array.nbytes


@law
def test_stored_opening_a_huge_file_allocates_nothing(tmp_path):
    """Opening costs the header, whatever the size: here 64 GiB, all of them a hole."""
    path = tmp_path / "m.safetensors"
    count = 1 << 34
    write_raw(path, {"x": entry("F32", [count], 0, 4 * count)})
    os.truncate(path, path.stat().st_size + 4 * count)
    tracemalloc.start()
    try:
        weights = load(path)
        assert weights.shapes() == {"x": (count,)}
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20


@law
def test_stored_tensor_may_lie_at_an_odd_address(tmp_path):
    """A tensor that begins at no multiple of its width is copied, not misread."""
    header = {"flag": entry("U8", [1], 0, 1), "x": entry("F32", [2], 1, 9)}
    data = b"\x09" + np.array([1.5, -2.5], "<f4").tobytes()
    for padding in range(4):
        raw = b'{"flag":%b, "x":%b}' % tuple(
            str(header[name]).replace("'", '"').encode() for name in ("flag", "x")
        )
        path = write_raw(tmp_path / "m.safetensors", raw + b" " * padding, data)
        array = load(path)["x"]
        assert array.flags.aligned
        np.testing.assert_array_equal(array, np.float32([1.5, -2.5]))


@law
def test_stored_conversion_is_blockwise(tmp_path, monkeypatch):
    """The size of the blocks in which a tensor is decoded does not show."""
    path = small_file(tmp_path / "m.safetensors")
    whole = load(path, np.float64)["b.weight"]
    monkeypatch.setattr("refvlm.checkpoint.stored.BLOCK", 4)
    np.testing.assert_array_equal(
        load(path, np.float64)["b.weight"], whole, strict=True
    )


@law
def test_stored_any_byte_but_zero_is_true(tmp_path):
    """NumPy trusts a boolean to be 0 or 1; a file is not trusted, so it is decoded."""
    header = {"x": entry("BOOL", [3], 0, 3)}
    flags = load(write_raw(tmp_path / "m.safetensors", header, b"\x00\x01\xff"))["x"]
    assert flags.view(np.uint8).tolist() == [0, 1, 1]


@oracle
@pytest.mark.parametrize("dtype", DTYPES)
def test_stored_numbers_equal_the_safetensors_library(tmp_path, dtype):
    """The format's own library writes what is read here, and reads what is written."""
    numbers = np.random.RandomState(1).randint(-100, 100, (3, 5)).astype(dtype)
    path = tmp_path / "m.safetensors"
    safetensors.numpy.save_file({"x": numbers, "y": numbers[:0]}, path)
    theirs = load(path, dtype=None)
    np.testing.assert_array_equal(theirs["x"], numbers, strict=True)
    np.testing.assert_array_equal(theirs["y"], numbers[:0], strict=True)
    save(path, {"x": numbers, "y": numbers[:0]})
    ours = safetensors.numpy.load_file(path)
    np.testing.assert_array_equal(ours["x"], numbers, strict=True)
    np.testing.assert_array_equal(ours["y"], numbers[:0], strict=True)


@oracle
def test_stored_bfloat16_equals_torch(tmp_path, compare):
    """All 65,280 finite bfloat16 numbers are PyTorch's, to the bit."""
    bits = np.arange(1 << 16, dtype=np.uint16)
    bits = bits[(bits & 0x7F80) != 0x7F80]

    def ask(torch):
        numbers = torch.from_numpy(bits.copy()).view(torch.bfloat16)
        return {"numbers": numbers.to(torch.float32).numpy()}

    header = {"x": entry("BF16", [len(bits)], 0, bits.nbytes)}
    path = write_raw(tmp_path / "m.safetensors", header, bits.astype("<u2").tobytes())
    expected = compare.answers(ask, bits)["numbers"]
    np.testing.assert_array_equal(
        load(path)["x"].view(np.uint32), expected.view(np.uint32)
    )


@contract
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_stored_tensor_refuses_numbers_that_are_not_finite(tmp_path, value, dtype):
    """A NaN is named at the first look, not found in the answer a minute later."""
    array = np.zeros((3, 4), dtype)
    array[2, 1] = value
    path = tmp_path / "m.safetensors"
    safetensors.numpy.save_file({"bad": array, "good": np.ones(2, "f4")}, path)
    weights = load(path)
    np.testing.assert_array_equal(weights["good"], np.ones(2, np.float32))
    for _ in range(2):
        with pytest.raises(CheckpointError, match=r"'bad' holds .* at \[2, 1\]"):
            weights["bad"]


@contract
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_stored_tensor_names_the_place_in_any_block(tmp_path, monkeypatch, dtype):
    """The place that is named is the place in the tensor, whatever block it is in."""
    monkeypatch.setattr("refvlm.checkpoint.stored.BLOCK", 4)
    array = np.zeros((3, 4), np.float32)
    array[2, 1] = np.nan
    path = tmp_path / "m.safetensors"
    safetensors.numpy.save_file({"bad": array}, path)
    with pytest.raises(CheckpointError, match=r"nan at \[2, 1\]"):
        load(path, dtype)["bad"]


@contract
def test_stored_tensor_refuses_to_overflow(tmp_path):
    """A number that the narrower type cannot hold is an error, not an infinity."""
    path = tmp_path / "m.safetensors"
    save(path, {"x": np.array([1.0, 1e300])})
    assert load(path, np.float64)["x"][1] == 1e300
    with pytest.raises(
        CheckpointError, match=r"1e\+300 at \[1\], too large for float32"
    ):
        load(path)["x"]


def write_over(path, tensors):
    """Other numbers in the very same file, as `cp` and careless programs do it."""
    save(path.with_name("other"), tensors)
    time.sleep(0.05)  # some file systems tell times no closer than that
    with open(path, "r+b") as file:
        file.write(path.with_name("other").read_bytes())


@contract
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("how", ["cut", "cut to nothing", "written over", "lengthened"])
def test_stored_file_that_changes_underneath(tmp_path, how, dtype):
    """A file that is changed in its place is noticed at the next look, and what was
    read before is what it was: no weight changes behind the back of its model."""
    path = tmp_path / "m.safetensors"
    save(path, {"a": np.ones(5000, np.float32), "b": np.ones(5000, np.float32)})
    weights = load(path, dtype)
    before = weights["a"]
    if how == "written over":
        write_over(path, {name: np.zeros(5000, np.float32) for name in "ab"})
    else:
        size = {"cut": 5000, "cut to nothing": 0, "lengthened": 10**6}[how]
        os.truncate(path, size)
    with pytest.raises(CheckpointError, match="was changed while it was in use"):
        weights["b"]
    assert weights["a"] is before and before.min() == before.max() == 1


@law
def test_stored_file_may_be_replaced(tmp_path):
    """A new file in the place of the old one: each reader keeps the one it opened."""
    path = tmp_path / "m.safetensors"
    save(path, {"x": np.zeros(3)})
    old = load(path)
    save(path, {"x": np.ones(3)})
    new = load(path)
    path.unlink()
    assert old["x"].max() == 0 and new["x"].min() == 1


@law
def test_stored_file_that_is_cut_kills_nobody(tmp_path):
    """A process that has weights in its hand goes on when their file is gone."""
    path = tmp_path / "m.safetensors"
    save(path, {"x": np.ones(1 << 20, np.float32)})
    program = """
import os, sys
from refvlm.checkpoint import load
array = load(sys.argv[1])["x"]
os.truncate(sys.argv[1], 0)
print(int(array.sum()))
"""
    ran = subprocess.run(
        [sys.executable, "-c", program, path], capture_output=True, text=True
    )
    assert ran.stdout == f"{1 << 20}\n", (ran.returncode, ran.stderr)


@law
def test_stored_tensors_can_be_pickled_and_copied(tmp_path):
    """A copy opens the file again and reads for itself; within a process there is
    nothing to copy, for nobody can write to it."""
    path = small_file(tmp_path / "m.safetensors")
    weights = load(path)
    again = pickle.loads(pickle.dumps(weights.scope("b")))
    assert len(pickle.dumps(weights)) < 5000
    np.testing.assert_array_equal(again["weight"], weights["b.weight"], strict=True)
    assert copy.deepcopy(weights)["a"] is weights["a"]


@contract
@pytest.mark.parametrize("how", ["replaced", "gone"])
def test_stored_tensors_are_not_pickled_into_others(tmp_path, how):
    """What was pickled was this file; another one in its place is refused."""
    path = tmp_path / "m.safetensors"
    save(path, {"x": np.zeros(3)})
    pickled = pickle.dumps(load(path))
    path.unlink()
    if how == "replaced":
        time.sleep(0.05)
        save(path, {"x": np.ones(3)})
    with pytest.raises(CheckpointError, match="not the file any more|no such file"):
        pickle.loads(pickled)


@law
def test_stored_tensors_are_read_by_forked_processes(tmp_path):
    """Parent and child share the place in the file, and do not disturb each other."""
    path = tmp_path / "m.safetensors"
    names = [f"t{i}" for i in range(64)]
    save(path, {name: np.full(20_000, i, np.float32) for i, name in enumerate(names)})
    weights = load(path)
    child, right = os.fork(), False
    try:
        right = all((weights[name] == i).all() for i, name in enumerate(names))
    finally:
        if not child:
            os._exit(not right)
    assert os.waitpid(child, 0)[1] == 0 and right
