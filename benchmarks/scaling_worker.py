"""The worker that does the same work in several sizes with refvlm: see scaling.py.

python -m benchmarks.scaling_worker FOLDER
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

from refvlm.models import qwen2
from refvlm.models.fastvlm import FastVLMConfig
from refvlm.recipes import fastvlm_tiny
from refvlm.text.engines.plain import PlainEngine
from refvlm.text.tokenizer import Tokenizer
from refvlm.train.loop import begin, side_by_side, train_step

from . import checkpoint_05b, model_costs, peer_refvlm
from .identity import numpy_versions
from .turns import ROOT, serve

STEPS = 4  # tokens that are timed together
ENOUGH = 1.0  # second: the system counts its work in hundredths
TINY = ROOT / "weights" / "fastvlm-tiny" / "tokenizer.json"


class Worker:
    """What scaling.py sweeps: seconds of `run`, operations and bytes of `cost`."""

    def __init__(self, folder):
        self.folder, self.made = folder, {}
        self.living, self.family = ExitStack(), (None, None)
        self.config = FastVLMConfig.from_json(checkpoint_05b.CONFIG)

    def run(self, sweep, size):
        """Seconds of one size: the median of a second's calls, or of one long call."""
        call, times, end = getattr(self, sweep), [], time.perf_counter() + ENOUGH
        while not times or time.perf_counter() < end:
            times.append(call(size))
        return statistics.median(times)

    def cost(self, sweep, size):
        """Operations and least bytes of one size."""
        text = self.config.text
        if sweep == "tower":
            return model_costs.tower(self.config, size)
        if sweep == "prompt":
            return model_costs.text(text, size)
        if sweep == "token":
            return model_costs.text(text, 1, size)
        if sweep == "encode":
            return {"flops": 0, "bytes": size}
        config = FastVLMConfig.from_json(
            fastvlm_tiny.config_json(self.recipe.tokenizer)
        )
        _, batch = self._training(size)
        side, tokens = batch[0].pixels.shape[-1], sum(s.packed.ids.size for s in batch)
        weights = sum(array.size for array in self.start.tensors.values())
        return model_costs.training_step(config, size, side, tokens, weights)

    @cached_property
    def model(self):
        """FastVLM-0.5B."""
        return peer_refvlm.Worker(self.folder)

    def tower(self, side):
        """A picture of side x side pixels to image tokens, in FastVLM-0.5B."""
        file = Path(self.folder) / f"pixels-{side}.npy"
        if not file.exists():
            rng = np.random.default_rng(0)
            unfinished = file.with_suffix(".unfinished")
            with unfinished.open("wb") as opened:
                np.save(opened, rng.random((1, 3, side, side), dtype=np.float32))
            os.replace(unfinished, file)
        return self.model.tower(file)

    def prompt(self, length):
        """The first token after so many, in FastVLM-0.5B."""
        return self.model.text(self._ids(length), 0)["prompt"]

    def token(self, context):
        """One token more after so many in the cache, in FastVLM-0.5B."""
        cache = self._made("cache", context, self._cache)
        cache.length = context
        ids = np.array([self._ids(1)])
        self.model._next(ids, cache)
        start = time.perf_counter()
        for _ in range(STEPS):
            self.model._next(ids, cache)
        return (time.perf_counter() - start) / STEPS

    def _cache(self, context):
        """Keys and values of any text: they cost the same."""
        text = self.config.text
        cache = qwen2.new_cache(text, 1, context + STEPS + 1)
        rng = np.random.default_rng(0)
        for kept in (cache.keys, cache.values):
            kept[...] = rng.standard_normal(kept.shape, dtype=np.float32)
        return cache

    @staticmethod
    def _ids(length):
        return np.random.default_rng(1).integers(0, 150_000, length).tolist()

    def step(self, pictures):
        """A step of training of fastvlm-tiny in its second stage, on so many pictures.

        Two halves side by side, each with captions and questions for its pictures.
        """
        state, batch = self._training(pictures)
        if self.family[0] != pictures:
            self.living.close()
            context = side_by_side(self.recipe, state, batch)
            self.family = pictures, self.living.enter_context(context)
        start = time.perf_counter()
        train_step(self.recipe, state, batch, self.family[1])
        return time.perf_counter() - start

    @cached_property
    def recipe(self):
        """That of weights/fastvlm-tiny."""
        return fastvlm_tiny.recipe()

    @cached_property
    def start(self):
        """Weights at the beginning of the second stage, but one: moments are there."""
        first = self.recipe.stages[0].steps
        state = replace(begin(self.recipe), step=first)
        return train_step(self.recipe, state, self.recipe.batch(first))

    def _training(self, pictures):
        return self.start, self._made("batch", pictures, self._batch)

    def _batch(self, pictures):
        usual, fastvlm_tiny.BATCH = fastvlm_tiny.BATCH, pictures
        try:
            return self.recipe.batch(self.start.step)
        finally:
            fastvlm_tiny.BATCH = usual

    def encode(self, size):
        """So many bytes of the book to ids, by refvlm's own engine."""
        text = self._made("text", size, self._text)
        start = time.perf_counter()
        self.tokenizer.encode(text)
        return time.perf_counter() - start

    @cached_property
    def tokenizer(self):
        """fastvlm-tiny's, by the engine that needs no library."""
        text = TINY.read_text(encoding="utf-8")
        return Tokenizer(PlainEngine.from_json(text, TINY.name))

    def _text(self, size):
        """The first letters of the chapters, in the order of their names."""
        chapters = sorted((ROOT / "book").glob("*.md"))
        text = "".join(path.read_text(encoding="utf-8") for path in chapters)
        ascii_only = text.encode("ascii", "ignore").decode()
        return (ascii_only * (size // len(ascii_only) + 1))[:size]

    def _made(self, kind, size, make):
        """What a size needs, made once."""
        if (kind, size) not in self.made:
            self.made[kind, size] = make(size)
        return self.made[kind, size]

    def versions(self):
        """What is measured."""
        return numpy_versions()


if __name__ == "__main__":
    worker = Worker(sys.argv[1])
    with worker.living:
        serve({name: getattr(worker, name) for name in ("run", "cost", "versions")})
