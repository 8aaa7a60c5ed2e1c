"""Opponents that take part where they are installed."""

from __future__ import annotations

from importlib.util import find_spec

from . import export_onnx, identity
from .turns import Peer

NEEDED = ("onnxruntime", "onnx", "onnxscript")


def onnxruntime(options, kind, folder):
    """{"onnxruntime": its peer} for what is exported into `folder`, or {} without it.

    Its worker's tasks are those of the other workers: `run(name)` for operators,
    `tower(pixels)`, `text(ids, steps)` and `logits` for models, and `versions()`.
    No setting holds it to fewer instructions than the processor has.
    """
    missing = [name for name in NEEDED if not find_spec(name)]
    if missing:
        print(f"without onnxruntime: {' and '.join(missing)} not installed")
        return {}
    if options.kernels == "avx2" and identity.machine()["instructions"] != "AVX2":
        print("without onnxruntime: it cannot be held to AVX2")
        return {}
    export_onnx.exported(kind, folder, options.only)
    return {"onnxruntime": Peer("peer_onnxruntime", folder, options=options)}
