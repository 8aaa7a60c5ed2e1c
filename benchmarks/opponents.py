"""Opponents that take part where they are installed."""

from __future__ import annotations

from importlib.util import find_spec

from .turns import Peer


def onnxruntime(options, *arguments):
    """{"onnxruntime": its peer}, or {} without onnxruntime and its worker.

    Its worker's tasks are those of the other workers: `run(name)` for operators,
    `tower(pixels)` and `text(ids, steps)` for models, `memory()` and `versions()`.
    """
    if not find_spec("onnxruntime") or not find_spec("benchmarks.peer_onnxruntime"):
        return {}
    peer = Peer("peer_onnxruntime", *arguments, options=options)
    return {"onnxruntime": peer}
