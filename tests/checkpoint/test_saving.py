"""Writing a checkpoint: whole or not at all, and readable by everyone."""

import json
import os
import stat
import subprocess
import sys

import numpy as np
import pytest
import safetensors

from refvlm.checkpoint import CheckpointError, Raw, load, save, write_bytes
from refvlm.ops.rounding import bfloat16_bits

from ..spec import contract, example, law


def save_one(path):
    save(path, {"a": np.ones(3)})


def write_one(path):
    write_bytes(path, b"new")


@example
def test_save_writes_the_format(tmp_path):
    """Eight bytes of length, a JSON header, and the numbers."""
    path = tmp_path / "m.safetensors"
    save(path, {"x": np.array([[1.0, 2.0]], np.float32)}, {"card": "tiny"})
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    assert json.loads(content[8 : 8 + length]) == {
        "__metadata__": {"format": "pt", "card": "tiny"},
        "x": {"dtype": "F32", "shape": [1, 2], "data_offsets": [0, 8]},
    }
    assert content[8 + length :] == np.array([1, 2], "<f4").tobytes()


@law
def test_save_aligns_every_tensor(tmp_path):
    """Each tensor begins at a multiple of its width, to be used where it lies."""
    path = tmp_path / "m.safetensors"
    save(path, {name: np.ones(3, name) for name in ("u1", "f4", "i2", "f8")})
    with safetensors.safe_open(path, "numpy") as file:
        assert file.metadata() == {"format": "pt"}
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    for name in ("u1", "f4", "i2", "f8"):
        begin = start + header[name]["data_offsets"][0]
        assert begin % np.dtype(name).itemsize == 0


@law
def test_save_writes_what_it_read_as_it_was_stored(tmp_path):
    """A tensor of a file goes into another file byte for byte, bfloat16 too."""
    x = np.array([[1.0, -2.5, 3.0]], np.float32)
    first = {
        "b": Raw("BF16", bfloat16_bits(x)),
        "h": x.astype(np.float16),
        "t": np.array([True, False]),
        "i": np.array(7),
    }
    save(tmp_path / "1.safetensors", first)
    weights = load(tmp_path / "1.safetensors")
    np.testing.assert_array_equal(weights["b"], x)
    tensors = {name: weights.tensor(name) for name in weights}
    again = {name: Raw(t.kind, t.stored()) for name, t in tensors.items()}
    save(tmp_path / "2.safetensors", again)
    content = (tmp_path / "1.safetensors").read_bytes()
    assert (tmp_path / "2.safetensors").read_bytes() == content


@law
def test_save_takes_any_layout_and_byte_order(tmp_path):
    """A transposed view or big-endian array is written as the numbers it shows."""
    x = np.arange(6.0).reshape(2, 3)
    path = tmp_path / "m.safetensors"
    save(path, {"t": x.T, "s": x[:, ::2], "b": x.astype(">f8"), "n": np.array(3.5)})
    weights = load(path, np.float64)
    np.testing.assert_array_equal(weights["t"], x.T)
    np.testing.assert_array_equal(weights["s"], x[:, ::2])
    np.testing.assert_array_equal(weights["b"], x)
    assert weights["n"].shape == ()


@law
def test_save_replaces_a_file_in_use(tmp_path):
    """Saving over a loaded checkpoint leaves the arrays of the old one as they were."""
    path = tmp_path / "m.safetensors"
    save(path, {"x": np.ones(4, np.float32)})
    old = load(path)
    save(path, {"x": old["x"] + 1})
    np.testing.assert_array_equal(old["x"], np.ones(4))
    np.testing.assert_array_equal(load(path)["x"], np.full(4, 2.0))
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask


@law
def test_save_takes_no_copy_of_the_tensors(tmp_path):
    """The numbers go to the disk from where they lie: 64 MB cost less than 8 more."""
    program = f"""
import numpy as np, pathlib
from refvlm.checkpoint import save

def peak():
    status = pathlib.Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])

tensors = {{str(n): np.ones((1000, 1000), np.float32) for n in range(16)}}
save({str(tmp_path / "small.safetensors")!r}, {{"0": tensors["0"]}})
before = peak()
save({str(tmp_path / "m.safetensors")!r}, tensors)
print(peak() - before)
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert int(ran.stdout) < 8 << 10


@law
@pytest.mark.parametrize("failure", [OSError("disk full"), KeyboardInterrupt()])
def test_save_interrupted_leaves_the_old_file(tmp_path, monkeypatch, failure):
    """Interrupted at the last moment, the old file stands, and nothing beside it."""
    path = tmp_path / "m.safetensors"
    save(path, {"x": np.ones(4)})
    before = path.read_bytes()

    def interrupt(*_):
        raise failure

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises((CheckpointError, KeyboardInterrupt)):
        save(path, {"x": np.zeros(4)})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@contract
@pytest.mark.parametrize(
    ("tensors", "metadata"),
    [
        ({"x": [1.0]}, None),
        ({"x": np.ones(2, complex)}, None),
        ({"x": np.array(["a"])}, None),
        ({"x": np.array([None])}, None),
        ({"x": np.array([np.nan])}, None),
        ({7: np.ones(2)}, None),
        ({"\udc80": np.ones(2)}, None),
        ({"__metadata__": np.ones(2)}, None),
        ({"x": np.ones(2)}, {"steps": 7}),
        ({"x": np.ones(2)}, {"card": "\udc80"}),
    ],
)
def test_save_refuses_what_nobody_could_load(tmp_path, tensors, metadata):
    """What no reader would accept is refused before the disk is touched."""
    with pytest.raises(CheckpointError):
        save(tmp_path / "m.safetensors", tensors, metadata)
    assert not list(tmp_path.iterdir())


@contract
def test_save_names_a_place_that_cannot_be_written(tmp_path):
    """A missing directory is one clear error."""
    with pytest.raises(CheckpointError, match="cannot be written"):
        save(tmp_path / "absent" / "m.safetensors", {"x": np.ones(2)})
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot be written"):
        save(tmp_path / "file" / "m.safetensors", {"x": np.ones(2)})


@contract
@pytest.mark.parametrize(
    ("raw", "what"),
    [
        (Raw("BF16", np.array([0x3F80, 0x7F80], np.uint16)), "not finite"),
        (Raw("BF16", np.array([0xFFC0], np.uint16)), "not finite"),
        (Raw("BF16", np.ones(2, np.float32)), "the dtype BF16 of float32"),
        (Raw("F4", np.ones(2, np.uint8)), "the dtype F4 of uint8"),
        (Raw("F32", np.ones(2, np.int32)), "the dtype F32 of int32"),
        (Raw("F16", np.array([np.inf], np.float16)), "not finite"),
    ],
)
def test_save_refuses_raw_numbers_that_no_reader_takes(tmp_path, raw, what):
    """A kind that the numbers cannot be, and what is not finite."""
    with pytest.raises(CheckpointError, match=what):
        save(tmp_path / "m.safetensors", {"x": raw})
    assert not list(tmp_path.iterdir())


@law
@pytest.mark.parametrize("write", [save_one, write_one])
def test_save_keeps_the_permissions_of_what_it_replaces(tmp_path, write):
    """What was its owner's alone stays so."""
    path = tmp_path / "mine"
    path.write_bytes(b"old")
    path.chmod(0o600)
    write(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o664)
    write(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o664


@law
@pytest.mark.parametrize("write", [save_one, write_one])
def test_save_writes_through_a_link(tmp_path, write):
    """The link stays one, and its target is what is new."""
    target, link = tmp_path / "there" / "file", tmp_path / "link"
    target.parent.mkdir()
    link.symlink_to(target)
    for old in (None, b"old"):
        if old is not None:
            target.write_bytes(old)
        write(link)
        assert link.is_symlink() and target.read_bytes() != b"old"
    assert [path.name for path in target.parent.iterdir()] == ["file"]


@contract
@pytest.mark.parametrize("write", [save_one, write_one])
def test_save_refuses_a_file_that_nobody_may_write(tmp_path, write):
    """Its owner has said so, and the folder's leave changes nothing."""
    path = tmp_path / "kept"
    path.write_bytes(b"old")
    path.chmod(0o444)
    with pytest.raises(CheckpointError, match="kept cannot be written: it is write-pr"):
        write(path)
    assert path.read_bytes() == b"old" and [*tmp_path.iterdir()] == [path]
