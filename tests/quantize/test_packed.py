"""The spec of refvlm/quantize/packed.py: a matrix in few bits, like any other."""

import copy
import gc
import pickle

import numpy as np
import pytest

from refvlm.checkpoint import CheckpointError, Weights, load, save
from refvlm.ops import bfloat16_bits, round_to_bfloat16
from refvlm.quantize.packed import Half, Packed

from ..spec import contract, example, law


class Doubled(Packed):
    """The least that a matrix can be packed: half of it."""

    made = 0

    def numbers(self):
        type(self).made += 1
        return 2 * self["half"]


HALF = np.arange(6.0, dtype=np.float32)


@example
def test_packed_matrices_are_weights_like_any_other():
    """Under a plain name, with a plain shape, through every scope."""
    weights = Weights({"a.weight": Doubled((2, 3), half=HALF), "b": np.ones(2)})
    array = weights.scope("a")["weight"]
    np.testing.assert_array_equal(array, 2 * HALF.reshape(2, 3))
    assert weights.shapes() == {"a.weight": (2, 3), "b": (2,)}
    assert weights.is_floating("a.weight") and not array.flags.writeable
    assert weights.tensor("a.weight").nbytes == 24


@law
def test_packed_numbers_are_made_once_for_as_long_as_they_are_held():
    """A tied head is the embedding's array; nothing is held for nobody."""
    packed = Doubled((6,), np.float64, half=HALF)
    before = Doubled.made
    first = packed.array()
    assert packed.array() is first and first.dtype == np.float64
    assert Doubled.made == before + 1
    del first
    gc.collect()
    packed.array()
    assert Doubled.made == before + 2


@law
@pytest.mark.parametrize(
    "another", (copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x)))
)
def test_packed_matrices_can_be_copied(another):
    """Also while somebody holds the numbers."""
    packed = Doubled((6,), half=HALF)
    held = packed.array()
    np.testing.assert_array_equal(another(packed).array(), held)


def in_half(path, dtype):
    """A table stored in sixteen bits, and its numbers."""
    table = np.random.RandomState(0).standard_normal((7, 3)).astype(np.float32)
    if dtype == "float16":
        save(path, {"table": table.astype(np.float16)})
        return table.astype(np.float16).astype(np.float32)
    write_bfloat16(path, table)
    return round_to_bfloat16(table)


def write_bfloat16(path, table):
    bits = bfloat16_bits(table).astype("<u2").tobytes()
    end = f'"data_offsets":[0,{len(bits)}]'
    shape = list(table.shape)
    header = f'{{"table":{{"dtype":"BF16","shape":{shape},{end}}}}}'.encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + bits)


@law
@pytest.mark.parametrize("dtype", ("float16", "bfloat16"))
def test_half_tables_keep_sixteen_bits_and_give_their_numbers(tmp_path, dtype):
    """Whole, by one row, by several, by a stretch: each exactly what is stored."""
    path = tmp_path / "model.safetensors"
    table = in_half(path, dtype)
    half = Half(load(path).tensor("table"))
    assert half.nbytes == table.size * 2 and half.shape == (7, 3)
    np.testing.assert_array_equal(half.array(), table)
    for rows in (3, slice(2, 5), np.array([[6, 0], [1, 1]])):
        found = half.rows(rows)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, table[rows])
    assert Half(load(path).tensor("table"), np.float64).rows([1]).dtype == np.float64


@contract
@pytest.mark.parametrize("bad", (np.inf, np.nan, -np.inf))
def test_half_tables_refuse_what_is_not_finite(tmp_path, bad):
    """As every tensor of a file does, at the first look."""
    table = np.ones((4, 2), np.float32)
    table[2, 1] = bad
    path = tmp_path / "model.safetensors"
    write_bfloat16(path, table)
    with pytest.raises(CheckpointError, match=r"\[2, 1\], not a finite number"):
        Half(load(path).tensor("table")).rows([0])
