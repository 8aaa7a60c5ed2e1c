"""The worker that holds a MicroVLM of random numbers, and times its parts.

python -m benchmarks.microvlm_full_worker
"""

from __future__ import annotations

import time

import numpy as np

from refvlm import ops
from refvlm.blocks.episodes import from_episodes
from refvlm.blocks.episodic_memory.gates import gate_bias
from refvlm.blocks.kv_cache import TapedCache
from refvlm.checkpoint import Weights
from refvlm.models import microvlm, microvlm_memory

from .checkpoint_05b import random_tensor
from .identity import numpy_versions
from .microvlm_full import CONFIG
from .turns import serve


def random_weights(config):
    """Every tensor of a model, made one after the other: no file, and no second copy of
    more than one."""
    shapes = microvlm.expected_shapes(config, config.text.tie_word_embeddings)
    rng = np.random.default_rng(0)
    return Weights({n: random_tensor(rng, n, s) for n, s in shapes.items()})


class Worker:
    """A model, and an episode of pictures with some words each."""

    def __init__(self, config=CONFIG):
        self.config, self.weights = config, random_weights(config)

    def inputs(self, pictures, words):
        """Pixels and ids, the same at every question."""
        rng, side = np.random.default_rng(1), self.config.vision.image_size
        pixels = rng.standard_normal((pictures, 3, side, side), dtype=np.float32)
        return pixels, rng.integers(0, self.config.text.vocab_size, (pictures, words))

    def episode(self, pictures, words):
        """Seconds of each part of one pass of the diagram, in its order."""
        config, weights, times = self.config, self.weights, {}
        pixels, ids = self.inputs(pictures, words)
        decoder = weights.scope(microvlm.DECODER)

        def timed(name, function, *args):
            start = time.perf_counter()
            result = function(*args)
            times[name] = time.perf_counter() - start
            return result

        _, patches = timed("tower", microvlm.see, pixels, weights, config)
        prefix = timed("adapter", microvlm.prefix, patches, weights, config)
        fused, mask, _ = microvlm.fused(prefix, ids, weights)
        steps = ops.masked_mean(fused, mask, dim=1)[None]
        codes = timed(
            "order", microvlm_memory.codes, steps[:, :, None], weights, config
        )
        start = microvlm_memory.start(config)
        memory = timed("write", microvlm_memory.posterior, start, codes, config)
        found = timed("read", microvlm_memory.recall, memory, steps, weights, config)
        read, bias = from_episodes(found.read), gate_bias(found.gate.reshape(-1, 1))
        slots = timed("slots", microvlm_memory.slots, read, weights, config, bias)
        forward, cache = microvlm.SPEAKER.forward, TapedCache()
        cache.slots = slots
        hidden = timed("decoder", forward, fused, decoder, config.text, mask, cache)
        timed("decoder alone", forward, fused, decoder, config.text, mask)
        timed("head", microvlm.SPEAKER.logits, hidden[:, -1], weights)
        return times

    def whole(self, pictures, words):
        """The source's forward pass, and how far its logits scatter."""
        pixels, ids = self.inputs(pictures, words)
        logits = microvlm.microvlm(pixels, ids, self.weights, self.config, 1)
        return {"shape": logits.shape, "deviation": float(logits.std())}

    def nothing(self, pictures, words):
        """Weights that are there, and are not used."""
        return {"bytes": sum(self.weights[name].nbytes for name in self.weights)}

    def versions(self):
        """What is measured."""
        return numpy_versions()


if __name__ == "__main__":
    worker = Worker()
    tasks = ("episode", "whole", "nothing", "versions")
    serve({name: getattr(worker, name) for name in tasks})
