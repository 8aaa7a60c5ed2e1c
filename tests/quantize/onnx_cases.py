"""ONNX's own node tests for quantisation: what goes in, and what has to come out.

onnx makes a node, its inputs and its outputs in Python, when its module is imported.
`vectors` turns one into arrays, which `compare.answers` keeps for readers without onnx,
and `call` makes of them the call of ours. Codes of less than a byte are unpacked, one a
byte, and small floats are their bits, as in refvlm/quantize/number_formats.py.
"""

from __future__ import annotations

import functools
import importlib
import json
import warnings
from typing import Any, NamedTuple

import numpy as np

from refvlm import quantize

OPERATORS = {  # ONNX's name: ours, and the tests that have it
    "QuantizeLinear": "quantize_linear",
    "DequantizeLinear": "dequantize_linear",
    "DynamicQuantizeLinear": "dynamic_quantize_linear",
    "MatMulInteger": "matmul_integer",
    "QLinearMatMul": "qlinear_matmul",
    "ConvInteger": "conv_integer",
    "QLinearConv": "qlinear_conv",
}
SMALL = ("e4m3fn", "e5m2", "uint4", "int4", "uint2", "int2", "float4e2m1")
FORMS = ("", "axis", "uint16", "int16", *SMALL)
PRODUCTS = [
    f"{axes}D_{codes}_{scales}"
    for scales in ("float32", "float16")
    for codes in ("uint8", "int8")
    for axes in (2, 3)
]
NAMES = [  # all of them in onnx 1.23.2; a law says so where onnx is
    *("_".join(filter(None, ("quantizelinear", form))) for form in FORMS),
    *("quantizelinear_blocked_asymmetric", "quantizelinear_blocked_symmetric"),
    *("_".join(filter(None, ("dequantizelinear", form))) for form in FORMS),
    *("dequantizelinear_e4m3fn_float16", "dequantizelinear_e4m3fn_zero_point"),
    "dequantizelinear_blocked",
    "dynamicquantizelinear",
    *("dynamicquantizelinear_max_adjusted", "dynamicquantizelinear_min_adjusted"),
    "matmulinteger",
    *(f"qlinearmatmul_{product}" for product in PRODUCTS),
    *("convinteger_with_padding", "convinteger_without_padding"),
    "qlinearconv",
]
# What NumPy has no dtype for: ONNX's name, ours.
FORMATS = {
    "FLOAT8E4M3FN": "float8_e4m3fn",
    "FLOAT8E5M2": "float8_e5m2",
    "FLOAT4E2M1": "float4_e2m1",
    **{name: name.lower() for name in ("UINT4", "INT4", "UINT2", "INT2")},
}


class Call(NamedTuple):
    """A call of ours, and the outputs that onnx expects of it."""

    operator: str
    inputs: list[np.ndarray | None]
    options: dict[str, Any]
    outputs: list[np.ndarray]

    def __call__(self):
        """What ours gives, as a list of outputs."""
        out = getattr(quantize, self.operator)(*self.inputs, **self.options)
        return list(out) if isinstance(out, tuple) else [out]


def call(vectors) -> Call:
    """The call that the arrays of a node describe."""
    node = json.loads(bytes(vectors["node"]))
    inputs = [vectors.get(f"input.{place}") for place in range(node["inputs"])]
    outputs = [vectors[f"output.{place}"] for place in range(node["outputs"])]
    options = dict(node["attributes"])
    small = {place: name for place, name in node["formats"].items() if name}
    # A small format is not said by the dtype of its array.
    if node["operator"] == "QuantizeLinear" and "output.0" in small:
        options["output_dtype"] = small["output.0"]
    if node["operator"] == "DequantizeLinear" and "input.0" in small:
        options["dtype"] = small["input.0"]
    return Call(OPERATORS[node["operator"]], inputs, options, outputs)


def vectors(name):
    """The arrays of one of onnx's node tests, and its node as text in one more."""
    test = live()[name]
    (node,), ((inputs, outputs),) = test.model.graph.node, test.data_sets
    given = iter(inputs)
    inputs = [next(given) if each else None for each in node.input]
    arrays, formats = {}, {}
    for kind, values in {"input": inputs, "output": outputs}.items():
        for place, value in enumerate(values):
            if value is not None:
                key = f"{kind}.{place}"
                arrays[key], formats[key] = _codes(value)
    told = {
        "operator": node.op_type,
        "attributes": {each.name: _attribute(each) for each in node.attribute},
        "inputs": len(inputs),
        "outputs": len(outputs),
        "formats": formats,
    }
    text = json.dumps(told, sort_keys=True).encode()
    return arrays | {"node": np.frombuffer(text, np.uint8).copy()}


@functools.cache
def live():
    """name -> node test of onnx, of all that consist of one of these operators."""
    node = importlib.import_module("onnx.backend.test.case.node")
    with warnings.catch_warnings(action="ignore"):
        for operator in OPERATORS:
            importlib.import_module(f"{node.__name__}.{operator.lower()}")
    return {
        each.name.removeprefix("test_"): each
        for each in node._NodeTestCases
        if next(iter(each.model.graph.node)).op_type in OPERATORS
    }


def _codes(value):
    """The array of an input or output, and the name of its format if it is small."""
    from onnx import TensorProto, numpy_helper

    if isinstance(value, (np.ndarray, np.generic)):
        return np.asarray(value), None
    name = FORMATS.get(TensorProto.DataType.Name(value.data_type))
    array = numpy_helper.to_array(value)
    if name is None:
        return array, None
    if name.startswith("float"):
        return array.view(np.uint8), name
    return array.astype(np.uint8 if name.startswith("u") else np.int8), name


def _attribute(attribute):
    from onnx import TensorProto, helper

    value = helper.get_attribute_value(attribute)
    if attribute.name == "output_dtype":
        return TensorProto.DataType.Name(value).lower()
    return value.decode() if isinstance(value, bytes) else value
