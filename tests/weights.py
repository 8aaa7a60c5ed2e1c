"""Random weights with the shapes of a model: every one of them matters.

Initialisation as for training hides mistakes: zero biases, unit scales and layer
scales of 1e-5 let a broken model pass. Here each tensor is drawn so that signals keep
their size and nothing cancels.
"""

import numpy as np

from .spec import random_arrays


def random_weights(shapes, seed=0):
    """name -> float64 array for {name: shape}, the same on every machine.

    Matrices keep the variance of what they multiply, convolutions double it, since
    the activation after them halves it: with less, a deep tower sees its own biases
    and no longer the picture. Scales scatter around 1, biases and means around 0,
    variances stay positive.
    """
    draw = random_arrays(seed)

    def tensor(name, shape):
        kind = name.rpartition(".")[2]
        if kind == "running_var":
            return np.abs(draw(*shape)) + 0.5
        if len(shape) == 1 and kind in ("weight", "gamma"):
            return draw(*shape, scale=0.3, shift=1.0)
        if len(shape) < 2 or kind in ("bias", "running_mean"):
            return draw(*shape, scale=0.1)
        gain = 2.0 if len(shape) == 4 else 1.0
        return draw(*shape, scale=(gain / float(np.prod(shape[1:]))) ** 0.5)

    return {name: tensor(name, shape) for name, shape in shapes.items()}
