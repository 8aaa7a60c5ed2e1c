"""The worker that answers for refvlm: see turns.py.

python -m benchmarks.peer_refvlm FOLDER [without-threadpoolctl]
"""

from __future__ import annotations

import sys
import time

import numpy as np

import refvlm
from refvlm.models import fastvlm, qwen2

from .identity import numpy_versions
from .turns import serve


class Worker:
    """FastVLM as `refvlm.load` gives it, one part at a time."""

    def __init__(self, directory):
        self.vlm = refvlm.load(directory)

    def tower(self, pixels):
        """Picture to image tokens, in seconds."""
        pixels = np.load(pixels)
        start = time.perf_counter()
        fastvlm.encode_image(pixels, self.vlm.weights, self.vlm.config)
        return time.perf_counter() - start

    def text(self, ids, steps):
        """Seconds for the prompt, seconds for each further token, and the tokens."""
        ids, start = np.array([ids]), time.perf_counter()
        text, length = self.vlm.config.text, len(ids[0])
        cache = qwen2.new_cache(text, 1, length + steps)
        tokens = [self._next(ids, cache)]
        prompt, start = time.perf_counter() - start, time.perf_counter()
        for _ in range(steps):
            tokens.append(self._next(np.array([tokens[-1:]]), cache))
        each = (time.perf_counter() - start) / max(steps, 1)
        return {"prompt": prompt, "token": each, "tokens": tokens}

    def _next(self, ids, cache):
        weights, config = self.vlm.weights, self.vlm.config
        embeddings = fastvlm.embed(ids, None, weights, config)
        decoder = weights.scope(fastvlm.DECODER)
        hidden = qwen2.qwen2(embeddings, decoder, config.text, cache=cache, last=1)
        return int(fastvlm.head(hidden, weights)[0, 0].argmax())

    def logits(self, pixels, ids, out):
        """Write the logits of every position to a file."""
        np.save(out, self.vlm.logits(np.load(pixels), np.array([ids])))

    def versions(self):
        """What is measured."""
        return numpy_versions()


if __name__ == "__main__":
    if "without-threadpoolctl" in sys.argv:
        sys.modules["threadpoolctl"] = None  # importing it fails from here on
    worker = Worker(sys.argv[1])
    names = ("tower", "text", "logits", "versions")
    serve({name: getattr(worker, name) for name in names})
