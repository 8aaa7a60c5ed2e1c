"""The cases of merging.py, and the process that times them.

A tower of ViT-L's width, 576 tokens of 1,024: CLIP's at 336 pixels. What makes fewer of
them is timed beside a layer of all of them and of those that are left.
"""

from __future__ import annotations

import numpy as np

from refvlm.blocks.token_reduction.budget import layer_flops
from refvlm.blocks.token_reduction.clustering import kmeans_tokens
from refvlm.blocks.token_reduction.merging import bipartite_merge
from refvlm.blocks.token_reduction.pruning import prune_tokens
from refvlm.blocks.transformer import transformer_block, transformer_block_shapes
from refvlm.checkpoint import Weights

from . import identity
from .turns import seconds, serve

TOKENS, WIDTH, HIDDEN, HEADS = 576, 1024, 4096, 16
FEW, CLUSTERS, ITERATIONS = 23, 144, 10  # 4 % a layer, as ToMe has it; a quarter
HALF = TOKENS // 2
LAYERS = (TOKENS, TOKENS - FEW, HALF, CLUSTERS)
COSINES = 2 * (TOKENS // 2) ** 2 * (WIDTH // HEADS)

# name: operations that nobody can do without, and the numbers that are read or written.
COSTS = {
    **{
        f"layer of {n}": (
            layer_flops(n, WIDTH, HIDDEN),
            2 * n * WIDTH + 4 * WIDTH**2 + 2 * WIDTH * HIDDEN,
        )
        for n in LAYERS
    },
    f"merge {FEW}": (COSINES, (2 * TOKENS - FEW) * WIDTH),
    f"merge {HALF}": (COSINES, (2 * TOKENS - HALF) * WIDTH),
    f"prune {HALF}": (0, 2 * HALF * WIDTH),
    f"clusters {CLUSTERS}": (
        2 * TOKENS * CLUSTERS * WIDTH,  # once at least: it may end before the tenth
        (TOKENS + CLUSTERS) * WIDTH,
    ),
}


class Worker:
    """Tokens, keys and weights, the same for every case."""

    def __init__(self):
        rng = np.random.default_rng(0)

        def draw(*shape):
            return rng.standard_normal(shape, dtype=np.float32)

        self.tokens = draw(1, TOKENS, WIDTH)
        self.keys = draw(1, TOKENS, WIDTH // HEADS)
        self.sizes = np.ones((1, TOKENS), np.float32)
        self.scores = draw(1, TOKENS)
        shapes = transformer_block_shapes(WIDTH, HIDDEN)
        scale = np.float32(WIDTH**-0.5)
        self.weights = Weights({n: draw(*shape) * scale for n, shape in shapes.items()})

    def job(self, name):
        """What is timed."""
        what, _, number = name.rpartition(" ")
        count = int(number)
        if what == "layer of":
            some = np.ascontiguousarray(self.tokens[:, :count])
            return lambda: transformer_block(some, self.weights, HEADS)
        if what == "merge":
            return lambda: bipartite_merge(self.tokens, self.sizes, count, self.keys)
        if what == "prune":
            return lambda: prune_tokens(self.tokens, self.scores, TOKENS - count)
        rng = np.random.default_rng(0)
        return lambda: kmeans_tokens(self.tokens, count, rng, ITERATIONS)

    def run(self, name):
        """Seconds of one call, the median of many."""
        return seconds(self.job(name))


if __name__ == "__main__":
    serve({"versions": identity.numpy_versions, "run": Worker().run})
