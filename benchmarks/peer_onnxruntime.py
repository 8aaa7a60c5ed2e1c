"""The worker that answers for onnxruntime: see turns.py, and export_onnx.py.

A session is what its users are advised to make it: all graph optimisations, weights as
constants so that they are packed once, and keys and values that go from one run to the
next without leaving the runtime.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime
from safetensors import safe_open

from . import export_onnx
from .turns import seconds, serve

EMBEDDINGS = "model.language_model.embed_tokens.weight"


class Worker:
    """FastVLM and single operators, as export_onnx.py wrote them into a folder."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.sessions, self.operator = {}, None

    def tower(self, pixels):
        """Picture to image tokens, in seconds."""
        tower, feed = self._session("tower"), {"pixels": np.load(pixels)}
        start = time.perf_counter()
        tower.run(None, feed)
        return time.perf_counter() - start

    def text(self, ids, steps):
        """Seconds for the prompt, seconds for each further token, and the tokens."""
        self._session("decoder"), self._embeddings()
        start = time.perf_counter()
        token, cache = self._next(ids, None)
        tokens = [token]
        prompt, start = time.perf_counter() - start, time.perf_counter()
        for _ in range(steps):
            token, cache = self._next(tokens[-1:], cache)
            tokens.append(token)
        each = (time.perf_counter() - start) / max(steps, 1)
        return {"prompt": prompt, "token": each, "tokens": tokens}

    def _next(self, ids, cache):
        logits, *cache = self._read(self._embed(ids), [len(ids) - 1], cache)
        return int(logits.numpy()[0, -1].argmax()), cache

    def _read(self, embeddings, positions, cache):
        """Logits at some positions, and the cache as the next run takes it."""
        decoder = self._session("decoder")
        names = [node.name for node in decoder.get_inputs()]
        if cache is None:
            heads, size = (decoder.get_inputs()[-1].shape[axis] for axis in (1, 3))
            nothing = np.zeros((1, heads, 0, size), np.float32)
            cache = [_value(nothing)] * (len(names) - 2)
        arrays = _value(embeddings), _value(np.array(positions))
        feed = dict(zip(names, [*arrays, *cache], strict=True))
        return decoder.run_with_ort_values(None, feed)

    def logits(self, pixels, ids, out):
        """Write the logits of every position to a file."""
        ids = np.array(ids)
        (image,) = self._session("tower").run(None, {"pixels": np.load(pixels)})
        embeddings = self._embed(ids)
        embeddings[0, ids == export_onnx.image_token(self.folder)] = image[0]
        np.save(out, self._read(embeddings, range(len(ids)), None)[0].numpy())

    def run(self, name):
        """Seconds of one call of an operator, the median of many."""
        session, feed = self._operator(name)
        return seconds(lambda: session.run_with_ort_values(None, feed))

    def difference(self, name):
        """An operator's largest difference from refvlm, in units of the largest value.

        Asked after the operator is timed: this uses NumPy's threads.
        """
        from refvlm import ops

        from .operator_cases import CASES, arrays

        session, feed = self._operator(name)
        (actual,) = session.run_with_ort_values(None, feed)
        expected = CASES[name].call(ops, *arrays(name))
        return float(np.abs(actual.numpy() - expected).max() / np.abs(expected).max())

    def _operator(self, name):
        """The session of a case, and what it is fed; the last one is kept."""
        if self.operator is None or self.operator[0] != name:
            from .operator_cases import arrays

            session = self._open(export_onnx.operator_file(name))
            nodes = session.get_inputs()
            feed = {n.name: _value(a) for n, a in zip(nodes, arrays(name))}
            self.operator = name, session, feed
        return self.operator[1:]

    def _session(self, name):
        """The tower or the decoder, opened when it is first asked for."""
        if name not in self.sessions:
            self.sessions[name] = self._open(f"{name}.onnx")
        return self.sessions[name]

    def _open(self, file):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ["OMP_NUM_THREADS"])
        options.inter_op_num_threads = 1
        every = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.graph_optimization_level = every
        path = self.folder / export_onnx.PLACE / file
        return onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])

    def _embeddings(self):
        """The table of embeddings, which stays in its file."""
        if "embeddings" not in self.sessions:
            file = safe_open(self.folder / "model.safetensors", "numpy")
            self.sessions["embeddings"] = file.get_slice(EMBEDDINGS)
        return self.sessions["embeddings"]

    def _embed(self, ids):
        table = self._embeddings()
        rows = [table[int(i) : int(i) + 1] for i in ids]
        return np.concatenate(rows)[None]

    def versions(self):
        """What is measured."""
        return {"onnxruntime": onnxruntime.__version__}


def _value(array):
    """The array as onnxruntime holds it."""
    return onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array))


if __name__ == "__main__":
    worker = Worker(sys.argv[1])
    names = ("tower", "text", "logits", "run", "difference", "versions")
    serve({name: getattr(worker, name) for name in names})
