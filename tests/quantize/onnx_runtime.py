"""One node of ONNX, run by onnxruntime: the oracle of products of integers."""

from __future__ import annotations

import numpy as np


def run(operator, dtype, *inputs, **attributes):
    """The output, of this dtype, of one node with these inputs."""
    import onnxruntime
    from onnx import helper

    names = [f"input_{place}" for place in range(len(inputs))]
    feeds = dict(zip(names, inputs))

    def value(name, of, shape):
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(of))
        return helper.make_tensor_value_info(name, kind, shape)

    node = helper.make_node(operator, names, ["y"], **attributes)
    graph = helper.make_graph(
        [node],
        operator,
        [value(name, each.dtype, each.shape) for name, each in feeds.items()],
        [value("y", dtype, None)],
    )
    imports = [helper.make_opsetid("", 13)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, feeds)[0]
