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

LONG = 4864  # products of about 123 x 123 each: four times float32's whole numbers


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

    def long(self):
        """As it, of few rows or small pictures, with sums that float32 cannot hold."""
        if self.pads is None:
            return _matrix(min(self.given[0], 4), LONG, min(self.gives[1], 96))
        kernel = self.weight[-1]
        return _picture(math.ceil(LONG / kernel**2), min(self.weight[0], 16), 8, kernel)

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
FORMS = {  # the library, or NumPy's product of a dtype, and the form of its operands
    "refvlm": "numpy",
    "int32, C order": "numpy",
    "int32, F order": "numpy",
    "float32": "numpy",
    "torch, C order": "torch",
    "torch, F order": "torch",
    "onnxruntime, s8s8": "onnxruntime",
    "onnxruntime, u8u8": "onnxruntime",
    "onnxruntime, u8s8": "onnxruntime",
}
# Whose sums may be others: nobody promised of float32 that they are whole, and of
# unsigned times signed codes, onnxruntime's usual, a processor without VNNI adds two
# products in 16 bits, where what is too large is clamped.
INEXACT = ("float32", "onnxruntime, u8s8")


def operands(case, low=-127):
    """The codes of a case, the same for every library: int8, which all of them take."""
    rng = np.random.default_rng(0)
    return [
        rng.integers(low, 128, shape).astype(np.int8)
        for shape in (case.given, case.weight)
    ]


def unsigned(codes):
    """As uint8, of which 128 is the zero point: what is multiplied is the same."""
    return (codes.astype(np.int16) + 128).astype(np.uint8)


class Worker:
    """Times the cases in one library, in one form or another."""

    def __init__(self, library):
        self.library = library

    def run(self, name, form):
        """Seconds of one call, the median of many; None where there is none."""
        job = self.job(CASES[name], form)
        return job and seconds(job, at_least=0.2, warm=0.05)

    def digest(self, name, form):
        """The sums, and those of long ones of large codes, in a few letters; None where
        there are none."""
        letters = hashlib.sha256()
        for case, low in ((CASES[name], -127), (CASES[name].long(), 120)):
            job = self.job(case, form, low)
            if job is None:
                return None
            sums = np.asarray(job()).astype(np.int32)
            letters.update(np.ascontiguousarray(sums).tobytes())
        return letters.hexdigest()

    def job(self, case, form, low=-127):
        """What is timed: it gives the sums. Operands lie ready as the form wants them,
        and are widened where the operator itself would have to."""
        a, b = operands(case, low)
        who, _, how = form.partition(", ")
        given = how.split()[:1]  # C, F, or the signs of both
        return getattr(self, f"_{who}")(a, b, case.pads, *given)

    def _refvlm(self, a, b, pads):
        from refvlm import quantize

        if pads is None:
            return lambda: quantize.matmul_integer(a, b)
        return lambda: quantize.conv_integer(a, b, pads=[pads] * 4)

    def _int32(self, a, b, pads, order):
        from refvlm.kernels import columns, windows

        a, b = a.astype(np.int32), b.astype(np.int32)
        if pads is None:
            b = np.asarray(b, order=order)
            return lambda: a @ b
        walk = windows.geometry(a.shape[2:], b.shape[2:], padding=pads)
        filters, shape = b.reshape(len(b), -1), (len(a), len(b), *walk.out)
        if order == "C":
            return lambda: columns.correlate(columns.columns_of(a, walk), b)

        def rows_first():
            seen = columns.columns_of(a, walk).reshape(len(a), filters.shape[1], -1)
            sums = np.ascontiguousarray(seen.swapaxes(1, 2)) @ filters.T
            return sums.swapaxes(1, 2).reshape(shape)

        return rows_first

    def _float32(self, a, b, pads):
        from refvlm import ops

        a, b = a.astype(np.float32), b.astype(np.float32)
        if pads is None:
            return lambda: a @ b
        return lambda: ops.conv2d(a, b, padding=pads)

    def _torch(self, a, b, pads, order):
        import torch

        if pads is not None:
            return None  # of whole numbers it has no convolution on a processor
        a, b = torch.from_numpy(a), torch.from_numpy(np.asarray(b, order=order))
        return lambda: torch._int_mm(a, b).numpy()

    def _onnxruntime(self, a, b, pads, signs):
        import onnxruntime
        from onnx import TensorProto, helper, numpy_helper

        a = unsigned(a) if signs.startswith("u8") else a
        b = unsigned(b) if signs.endswith("u8") else b
        constants = {"b": b}  # packed once, as weights are
        for name, codes in (("a_zero", a), ("b_zero", b)):
            constants[name] = np.array(128 * (codes.dtype == np.uint8), codes.dtype)
        operator = "MatMulInteger" if pads is None else "ConvInteger"
        options = {} if pads is None else {"pads": [pads] * 4}
        node = helper.make_node(operator, ["a", *constants], ["sums"], **options)
        kind = helper.np_dtype_to_tensor_dtype(a.dtype)
        given = helper.make_tensor_value_info("a", kind, a.shape)
        gives = helper.make_tensor_value_info("sums", TensorProto.INT32, None)
        held = [numpy_helper.from_array(codes, n) for n, codes in constants.items()]
        graph = helper.make_graph([node], "product", [given], [gives], held)
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
