"""The worker that trains the tiny FastVLM with refvlm: see turns.py."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np

from refvlm import checkpoint
from refvlm.models import fastvlm
from refvlm.recipes import fastvlm_tiny
from refvlm.train.loop import begin, side_by_side, train_step

from . import model_costs
from .identity import numpy_versions
from .turns import serve


class Worker:
    """The recipe of weights/fastvlm-tiny in its second stage, always on one batch."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.recipe = fastvlm_tiny.recipe()
        self.first = self.recipe.stages[0].steps
        self.state = self.start = replace(begin(self.recipe), step=self.first)
        self.batch = self.recipe.batch(self.first)
        self.living, self.family = ExitStack(), None

    def write(self):
        """Weights and batch, whole, for the other worker; the number of weights."""
        checkpoint.save(self.folder / "start.safetensors", self.start.tensors)
        (shard,) = self.recipe.batch(self.first, shards=1)
        packed, cells = shard.packed, shard.cells
        np.savez(
            self.folder / "batch.npz",
            pixels=shard.pixels,
            objects=shard.objects,
            answers=shard.answers,
            **{f"cells.{name}": value for name, value in cells._asdict().items()},
            **{name: getattr(packed, name) for name in ("ids", "labels", "weights")},
            **packed.layout._asdict(),
        )
        return sum(array.size for array in self.start.tensors.values())

    def cost(self):
        """Operations and least bytes of a step."""
        config = fastvlm.FastVLMConfig.from_json(self.config())
        (shard,) = self.recipe.batch(self.first, shards=1)
        pictures, _, size, _ = shard.pixels.shape
        weights = sum(array.size for array in self.start.tensors.values())
        tokens = shard.packed.ids.size
        return model_costs.training_step(config, pictures, size, tokens, weights)

    def config(self):
        """The model's config.json."""
        return fastvlm_tiny.config_json(self.recipe.tokenizer)

    def step(self):
        """Seconds of one step of training."""
        if self.family is None:  # for as long as this process lives
            start = side_by_side(self.recipe, self.state, self.batch)
            self.family = self.living.enter_context(start)
        start = time.perf_counter()
        self.state = train_step(self.recipe, self.state, self.batch, self.family)
        return time.perf_counter() - start

    def losses(self, steps):
        """Loss, gradient's norm and learning rate of the first steps, unsharded."""
        state, batch = self.start, self.recipe.batch(self.first, shards=1)
        for _ in range(steps):
            state = train_step(self.recipe, state, batch)
        return [[row[k] for k in ("loss", "norm", "rate")] for row in state.history]

    def versions(self):
        """What is measured."""
        return numpy_versions()


if __name__ == "__main__":
    worker = Worker(sys.argv[1])
    names = ("write", "config", "cost", "step", "losses", "versions")
    with worker.living:
        serve({name: getattr(worker, name) for name in names})
