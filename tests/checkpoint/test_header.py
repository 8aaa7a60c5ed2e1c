"""The safetensors header: every number has to agree with every other."""

import os
import tracemalloc

import numpy as np
import pytest
import safetensors
from safetensors.numpy import load_file

from refvlm.checkpoint import CheckpointError, load, save
from refvlm.checkpoint.stored import TensorFile

from ..spec import contract, example, law
from .files import entry, small_file, write_raw


@example
def test_header_says_shapes_without_reading(tmp_path):
    """A header of a hundred bytes says what is in a file of gigabytes."""
    weights = load(small_file(tmp_path / "m.safetensors"))
    assert weights.shapes() == {
        "a": (2,),
        "b.weight": (2, 3),
        "b.count": (),
        "b.flag": (1,),
    }


@example
def test_header_accepts_tensors_without_numbers(tmp_path):
    """A tensor with an axis of length 0 takes no bytes and keeps its shape."""
    header = {"none": entry("F32", [0, 4], 0, 0), "x": entry("F16", [1], 0, 2)}
    weights = load(write_raw(tmp_path / "m.safetensors", header, b"\x00\x3c"))
    assert weights["none"].shape == (0, 4)
    assert weights["x"] == 1


@law
def test_header_hands_on_what_was_noted(tmp_path):
    """Texts by name, whatever is in them; of a file without any, none."""
    noted = {"format": "pt", "note": 'a\n"é'}
    save(tmp_path / "m.safetensors", {"x": np.ones(2)}, noted)
    assert TensorFile(tmp_path / "m.safetensors").metadata == noted
    plain = write_raw(tmp_path / "plain.safetensors", {"x": F32}, b"\0" * 8)
    assert TensorFile(plain).metadata == {}


F32 = entry("F32", [2], 0, 8)
LISTED = b'["U8", [%d], [0, %d]]'
BAD_HEADERS = {
    "a dtype nobody knows": {"x": {**F32, "dtype": "F33"}},
    "a dtype that is a list": {"x": {**F32, "dtype": ["F32"]}},
    "a negative size": {"x": {**F32, "shape": [-2]}},
    "a size that is true": {"x": {**F32, "shape": [True, 2]}},
    "a size that is a fraction": {"x": {**F32, "shape": [2.0]}},
    "a shape that is a number": {"x": {**F32, "shape": 2}},
    "a shape too long": {"x": entry("F32", [1] * 64 + [2], 0, 8)},
    "a shape of more bytes": {"x": entry("F32", [3], 0, 8)},
    "a shape of fewer bytes": {"x": entry("F32", [1], 0, 8)},
    "a product that overflows 64 bits": {"x": entry("F32", [1 << 32, 1 << 32], 0, 0)},
    "a huge axis beside an empty one": {
        "x": entry("F32", [0, 1 << 62], 0, 0),
        "y": F32,
    },
    "offsets backwards": {"x": entry("F32", [2], 8, 0)},
    "offsets below zero": {"x": entry("F32", [2], -8, 0)},
    "three offsets": {"x": {**F32, "data_offsets": [0, 8, 8]}},
    "offsets beyond the end": {"x": entry("F32", [4], 0, 16)},
    "a gap": {"x": entry("F32", [1], 4, 8)},
    "an overlap": {"x": F32, "y": entry("F32", [1], 4, 8)},
    "bytes left over": {"x": entry("F32", [1], 0, 4)},
    "no tensors but bytes": {},
    "a field missing": {"x": {"dtype": "F32", "shape": [2]}},
    "an entry that is a list": {"x": []},
    "metadata that is no text": {"x": F32, "__metadata__": {"a": 1}},
    "metadata that is a list": {"x": F32, "__metadata__": []},
    "a header that is a list": b"[1, 2]",
    "a header cut off": b'{"x": {"dtype": "F32"',
    "a field given twice": b'{"x": {"dtype": "U8", "dtype": "F32", "shape": [2], '
    b'"data_offsets": [0, 8]}}',
    "a name whose last entry does not fit": b'{"x": %b, "x": %b}'
    % (LISTED % (8, 8), LISTED % (4, 4)),
    "a name whose last entry fits": b'{"x": %b, "x": %b}'
    % (LISTED % (4, 4), LISTED % (8, 8)),
    "a name twice, spelled in two ways": b'{"x": %b, "\\u0078": %b}'
    % (LISTED % (8, 8), LISTED % (8, 8)),
    "metadata twice": b'{"__metadata__": {"a": "b", "a": "c"}, "x": %b}'
    % (LISTED % (8, 8)),
    "a dtype that NumPy lacks": {"x": entry("F8_E4M3", [8], 0, 8)},
    "numbers of half a byte": {"x": entry("F4", [16], 0, 8)},
    "complex numbers": {"x": entry("C64", [1], 0, 8)},
    "a size that is NaN": {"x": {**F32, "shape": [float("nan")]}},
    "half of a surrogate pair as a name": {"\ud800": F32},
    "a size of many digits": b'{"x": {"shape": [' + b"9" * 5000 + b"]}}",
    "nesting without end": b'{"x":' + b"[" * 200_000,
    "nesting that is closed": b'{"x":' + b"[" * 90_000 + b"]" * 90_000 + b"}",
    "bytes that are not UTF-8": b'{"\xff": 1}',
    "a space before the brace": b" {}",
}


@contract
@pytest.mark.parametrize("what", BAD_HEADERS)
def test_header_refuses_what_does_not_agree(tmp_path, what):
    """A header that contradicts itself or the file is refused, and nothing is read."""
    path = write_raw(tmp_path / "m.safetensors", BAD_HEADERS[what], bytes(8))
    with pytest.raises(CheckpointError, match=r"m\.safetensors"):
        load(path)


ODD_HEADERS = {
    "a field too many": b'{"x": {"dtype": "U8", "shape": [8], '
    b'"data_offsets": [0, 8], "note": 0}}',
    "an entry that is a list": b'{"x": %b}' % (LISTED % (8, 8)),
}


@law
@pytest.mark.parametrize("what", ODD_HEADERS)
def test_header_means_what_the_library_reads(tmp_path, what):
    """There is one reader of headers: where a header is odd, there is one meaning."""
    numbers = np.arange(8, dtype=np.uint8)
    path = write_raw(tmp_path / "m.safetensors", ODD_HEADERS[what], numbers.tobytes())
    np.testing.assert_array_equal(load_file(path)["x"], numbers)
    np.testing.assert_array_equal(load(path)["x"], numbers)


@contract
def test_header_of_a_file_that_is_replaced_while_it_is_opened(tmp_path, monkeypatch):
    """What the library read of another file says nothing about this one."""
    path = tmp_path / "m.safetensors"
    save(path, {"x": np.zeros(2), "y": np.ones(4)})

    def replace_and_open(*arguments):
        save(path, {"y": np.ones(4), "z": np.zeros(2)})
        return safetensors.safe_open(*arguments)

    monkeypatch.setattr("refvlm.checkpoint.header.safe_open", replace_and_open)
    with pytest.raises(CheckpointError, match="changed while it was opened"):
        load(path)


@contract
@pytest.mark.parametrize("length", [9, 1 << 24, 1 << 40, (1 << 64) - 1])
def test_header_length_is_bounded(tmp_path, length):
    """A header that claims to be longer than the file, or than any, is refused."""
    path = write_raw(tmp_path / "m.safetensors", b"{}", length=length)
    with pytest.raises(CheckpointError, match="header"):
        load(path)


@contract
def test_header_length_has_a_limit_of_its_own(tmp_path):
    """A huge file may claim a huge header; it is refused before it is read."""
    path = write_raw(tmp_path / "m.safetensors", b"{}", length=(1 << 24) + 1)
    os.truncate(path, 1 << 30)
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match="header at most"):
            load(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@contract
def test_header_of_a_truncated_file(tmp_path):
    """Every way of cutting a file short is noticed before anything is read."""
    path = small_file(tmp_path / "m.safetensors")
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(CheckpointError):
            load(path)


@contract
def test_header_names_are_printed_safely(tmp_path):
    """A name from outside cannot write control codes to the terminal, nor flood it."""
    name = "\x1b[31m\udc80" + "x" * 100_000
    path = write_raw(
        tmp_path / "m.safetensors", {name: entry("F32", [2], 0, 4)}, b"1234"
    )
    with pytest.raises(CheckpointError) as caught:
        load(path)
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value).encode()) < 1000


@contract
def test_header_recognises_a_git_lfs_pointer(tmp_path):
    """The commonest broken download is said to be one."""
    path = tmp_path / "m.safetensors"
    path.write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
    )
    with pytest.raises(CheckpointError, match="git lfs pull"):
        load(path)
