"""ONNX's own node tests: QuantizeLinear, its kin, and products of integers.

What goes in and what has to come out is recorded from onnx, and where onnx is there it
has to be what it makes today.
"""

import importlib.util

import numpy as np
import pytest

from ..spec import house, oracle
from . import onnx_cases


@oracle
@pytest.mark.parametrize("name", onnx_cases.NAMES)
def test_every_node_test_of_onnx_passes(compare, name):
    """Codes to the bit, and what is no code to float32's last."""
    vectors = compare.answers(
        lambda torch: onnx_cases.vectors(name), name, tolerance=0, library="onnx"
    )
    call = onnx_cases.call(vectors)
    for ours, expected in zip(call(), call.outputs, strict=True):
        assert ours.dtype == expected.dtype and ours.shape == expected.shape
        np.testing.assert_array_equal(ours, expected)


@house
def test_no_node_test_of_onnx_is_left_out():
    """42 in onnx 1.23; one that a later version adds gets its line."""
    assert len(onnx_cases.NAMES) == len(set(onnx_cases.NAMES)) == 42
    if importlib.util.find_spec("onnx"):
        assert set(onnx_cases.live()) == set(onnx_cases.NAMES)
