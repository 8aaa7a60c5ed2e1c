"""The spec of refvlm/quantize/number_formats.py."""

import numpy as np
import pytest

from refvlm import quantize

from ..spec import contract, example, law, oracle

WHOLE = [name for name in quantize.FORMATS if "float" not in name]
each = pytest.mark.parametrize("name", quantize.FORMATS)


@example
def test_number_format_of_four_bits():
    """Sixteen codes, one more below zero than above, one a byte."""
    int4 = quantize.number_format("int4")
    assert (int4.low, int4.high, int4.bits) == (-8, 7, 4)
    assert int4.storage == np.int8


@example
def test_number_format_of_a_dtype():
    """A NumPy dtype of whole numbers is a format by its own name."""
    assert quantize.number_format(np.dtype(np.uint16)).high == 65535


@law
@each
def test_number_formats_fill_their_bits(name):
    """Of b bits there are 2^b codes, and the storage holds them all."""
    known = quantize.number_format(name)
    assert known.storage.itemsize * 8 >= known.bits
    if name in WHOLE:
        assert known.high - known.low + 1 == 2**known.bits
        limits = np.iinfo(known.storage)
        assert limits.min <= known.low < known.high <= limits.max
        assert known.low == (0 if name.startswith("u") else -known.high - 1)
    else:
        assert known.low == -known.high and known.storage == np.uint8


@law
@pytest.mark.parametrize("name", WHOLE)
def test_integer_formats_name_their_bits_and_sign(name):
    """Read off the name: the bits, and u for no sign."""
    known = quantize.integer_format(name)
    assert known.name == name == f"{'u' if known.low == 0 else ''}int{known.bits}"


@oracle
@each
def test_number_formats_are_those_of_onnx(compare, name):
    """ONNX knows the name, and as many bits."""

    def ask(torch):
        import onnx

        kind = onnx.TensorProto.DataType.Value(name.replace("_", "").upper())
        dtype = onnx.helper.tensor_dtype_to_np_dtype(kind)
        import ml_dtypes

        integer = "int" in name
        limits = (ml_dtypes.iinfo if integer else ml_dtypes.finfo)(dtype)
        ends = [float(limits.min), float(limits.max), float(limits.bits)]
        return {"ends": np.array(ends)}

    known = quantize.number_format(name)
    answer = compare.answers(ask, (name,), library="onnx")["ends"]
    np.testing.assert_array_equal([known.low, known.high, known.bits], answer)


@contract
@pytest.mark.parametrize("name", ["int3", "float32", "", None, 8, np.dtype("int64")])
def test_number_format_refuses_what_there_is_not(name):
    """The message lists what there is."""
    with pytest.raises(ValueError, match="no number format .*: take int2, uint2"):
        quantize.number_format(name)


@contract
def test_integer_format_refuses_floats():
    """Whole numbers count steps; a float8 does not."""
    with pytest.raises(
        ValueError, match="float8_e5m2 holds no whole numbers: take int"
    ):
        quantize.integer_format("float8_e5m2")


@law
def test_a_scalar_type_is_a_name():
    """np.int8, "int8" and their dtype are one; Python's int is none of them."""
    for kind in (np.int8, np.uint8, np.int16, np.uint16):
        assert quantize.number_format(kind) is quantize.number_format(np.dtype(kind))
    with pytest.raises(ValueError, match="no number format <class 'int'>"):
        quantize.number_format(int)
    x, scale = np.array([-2.0, 3.0], np.float32), np.float32(1)
    codes = quantize.quantize_linear(x, scale, output_dtype=np.int8)
    assert codes.dtype == np.int8 and codes.tolist() == [-2, 3]
