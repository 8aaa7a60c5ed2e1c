"""The cases of integer_products.py, and the worker that times one library on them.

python -m benchmarks.integer_products_worker numpy|torch|onnxruntime
"""

from __future__ import annotations

import hashlib
import math
import os
import sys
from typing import NamedTuple

import numpy as np

from . import identity
from .turns import seconds, serve


class Case(NamedTuple):
    """The shapes of both operands and of the sums; a picture's pads on every side."""

    given: tuple[int, ...]
    weight: tuple[int, ...]
    gives: tuple[int, ...]
    pads: int | None = None

    def cost(self):
        """The products that are summed, and the bytes of codes and of sums.

        No floating operations: a processor may do four on small whole numbers while it
        does one on float32, so that no roof of the record holds for them.
        """
        numbers = math.prod(self.given) + math.prod(self.weight)
        return {
            "flops": 0,
            "bytes": numbers + 4 * math.prod(self.gives),
            "products": self.products(),
        }

    def products(self):
        """As many for each sum as a column or a filter has numbers."""
        of_each = self.weight[0]
        if self.pads is not None:
            of_each = math.prod(self.weight[1:])
        return math.prod(self.gives) * of_each


def _matrix(rows, columns, out):
    return Case((rows, columns), (columns, out), (rows, out))


def _picture(c_in, c_out, size, kernel):
    x, w = (1, c_in, size, size), (c_out, c_in, kernel, kernel)
    return Case(x, w, (1, c_out, size, size), kernel // 2)


CASES = {  # of Qwen2-0.5B's layers, and of a tower's
    "1 row, 896 to 4864": _matrix(1, 896, 4864),
    "1 row, 4864 to 896": _matrix(1, 4864, 896),
    "64 rows, 896 to 4864": _matrix(64, 896, 4864),
    "64 rows, 4864 to 896": _matrix(64, 4864, 896),
    "288 rows, 896 to 896": _matrix(288, 896, 896),
    "conv 3x3, 96 to 96 at 32": _picture(96, 96, 32, 3),
    "conv 1x1, 384 to 384 at 32": _picture(384, 384, 32, 1),
}
FORMS = {  # who: the worker that it is asked of
    "refvlm": "numpy",
    "int32": "numpy",
    "float32": "numpy",
    "torch": "torch",
    "onnxruntime": "onnxruntime",
}


def operands(name):
    """The codes of a case, the same for every library: int8, which all of them take."""
    rng, case = np.random.default_rng(0), CASES[name]
    return [
        rng.integers(-127, 128, shape).astype(np.int8)
        for shape in (case.given, case.weight)
    ]


class Worker:
    """Times the cases in one library, in one form or another."""

    def __init__(self, library):
        self.library = library

    def run(self, name, form):
        """Seconds of one call, the median of many; None where there is none."""
        job = self.job(name, form)
        return job and seconds(job, at_least=0.2, warm=0.05)

    def digest(self, name, form):
        """The sums, in a few letters; None where there are none."""
        job = self.job(name, form)
        if job is None:
            return None
        sums = np.asarray(job(), np.int32, order="C")
        return hashlib.sha256(sums.tobytes()).hexdigest()

    def job(self, name, form):
        """What is timed: it gives the sums. Operands lie ready as the form wants them,
        and are widened where the operator itself would have to."""
        a, b = operands(name)
        pads = CASES[name].pads
        return getattr(self, f"_{form}")(a, b, pads)

    def _refvlm(self, a, b, pads):
        from refvlm import quantize

        if pads is None:
            return lambda: quantize.matmul_integer(a, b)
        return lambda: quantize.conv_integer(a, b, pads=[pads] * 4)

    def _int32(self, a, b, pads):
        from refvlm.kernels import columns, windows

        a, b = a.astype(np.int32), b.astype(np.int32)
        if pads is None:
            return lambda: a @ b
        walk = windows.geometry(a.shape[2:], b.shape[2:], padding=pads)
        return lambda: columns.correlate(columns.columns_of(a, walk), b)

    def _float32(self, a, b, pads):
        from refvlm import ops

        a, b = a.astype(np.float32), b.astype(np.float32)
        if pads is None:
            return lambda: a @ b
        return lambda: ops.conv2d(a, b, padding=pads)

    def _torch(self, a, b, pads):
        import torch

        if pads is not None:
            return None  # of whole numbers it has no convolution on a processor
        a, b = torch.from_numpy(a), torch.from_numpy(b)
        return lambda: torch._int_mm(a, b).numpy()

    def _onnxruntime(self, a, b, pads):
        import onnxruntime
        from onnx import TensorProto, helper, numpy_helper

        operator = "MatMulInteger" if pads is None else "ConvInteger"
        options = {} if pads is None else {"pads": [pads] * 4}
        node = helper.make_node(operator, ["a", "b"], ["sums"], **options)
        values = [
            helper.make_tensor_value_info(name, kind, shape)
            for name, kind, shape in (
                ("a", TensorProto.INT8, a.shape),
                ("sums", TensorProto.INT32, None),
            )
        ]
        constants = [numpy_helper.from_array(b, "b")]  # packed once, as weights are
        graph = helper.make_graph([node], "product", *[[v] for v in values], constants)
        opsets = [helper.make_opsetid("", 13)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = int(os.environ["OMP_NUM_THREADS"])
        settings.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), settings, ["CPUExecutionProvider"]
        )
        feed = {"a": onnxruntime.OrtValue.ortvalue_from_numpy(a)}
        return lambda: session.run_with_ort_values(None, feed)[0].numpy()

    def versions(self):
        """What is measured."""
        if self.library == "numpy":
            return identity.numpy_versions()
        module = __import__(self.library)
        return {self.library: module.__version__}


if __name__ == "__main__":
    worker = Worker(sys.argv[1])
    names = ("run", "digest", "versions")
    serve({name: getattr(worker, name) for name in names})
