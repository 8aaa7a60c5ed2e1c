"""Stored tensors: read when first asked for, converted once, never changed."""

import os
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
def test_stored_float32_is_used_where_it_lies(tmp_path):
    """A float32 tensor is a view of the mapped file: no second copy of the weights."""
    path = tmp_path / "m.safetensors"
    save(path, {"x": np.ones((1024, 1024), np.float32)})
    tracemalloc.start()
    try:
        weights = load(path)
        weights["x"]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert not weights["x"].flags.owndata
    assert peak < weights["x"].nbytes / 2


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


@contract
def test_stored_file_that_changes_underneath(tmp_path):
    """A file that is cut while it is mapped is noticed at the next look."""
    path = small_file(tmp_path / "m.safetensors")
    weights = load(path)
    os.truncate(path, 100)
    with pytest.raises(CheckpointError, match="was changed while it was in use"):
        weights["a"]
