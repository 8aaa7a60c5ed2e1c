"""A recipe that learns in milliseconds: a line through points, in two stages."""

from dataclasses import dataclass, field

import numpy as np

from refvlm.train.loop import Recipe, Stage
from refvlm.train.optimizers import AdamW

SLOPE = np.array([[2.0, -1.0, 0.5]], np.float32)


@dataclass
class Line(Recipe):
    """y = x a: `slope` is learnt, `offset` only in the second stage."""

    name: str = "line"
    stages: tuple = (
        Stage("first", 30, 0.1, 5, 0.1, lambda name: name == "slope"),
        Stage("second", 30, 0.1, 5),
    )
    optimizer: AdamW = field(default_factory=lambda: AdamW(weight_decay=0.0))
    max_norm: float = 1.0
    momentum: float = 0.1
    bad_step: int | None = None

    def initial(self):
        return {
            "slope": np.zeros((1, 3), np.float32),
            "offset": np.ones(1, np.float32),
        }

    def batch(self, step):
        rng = np.random.default_rng(step)
        points = rng.standard_normal((8, 3)).astype(np.float32)
        if step == self.bad_step:
            points[0] = np.nan
        values = points @ SLOPE.T
        return [(points[part], values[part]) for part in (slice(0, 4), slice(4, 8))]

    def loss(self, weights, shard, training, stage):
        points, values = shard
        noise = 0.01 * training.rng.standard_normal(values.shape, np.float32)
        wrong = points @ weights["slope"].T + weights["offset"] - (values + noise)
        total = (wrong * wrong).sum() * (1 / 8)
        return total, {"largest": 0.5 * float(np.abs(wrong.value).max())}
