"""Qwen2-0.5B's shape as a directory, and the worker that answers with one like it.

python -m benchmarks.quantized_05b_worker DIRECTORY ["half table"]
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np

import refvlm
from refvlm import checkpoint, generate
from refvlm.models.qwen2 import Qwen2Config, expected_shapes
from refvlm.ops.rounding import bfloat16_bits
from refvlm.pretrained.linear_matrices import is_linear
from refvlm.quantize import Half

from .checkpoint_05b import TEXT, random_tensor
from .identity import numpy_versions
from .turns import serve

DOCUMENT = TEXT | {"architectures": ["Qwen2ForCausalLM"], "torch_dtype": "bfloat16"}
CONFIG = Qwen2Config.from_json(DOCUMENT)


def write(directory):
    """The decoder with random weights in bfloat16, 988 MB, unless it is there."""
    directory = Path(directory)
    if (directory / "config.json").exists():
        return
    directory.mkdir(parents=True, exist_ok=True)
    rng, tensors = np.random.default_rng(0), {}
    for name, shape in expected_shapes(CONFIG).items():
        bits = bfloat16_bits(random_tensor(rng, name, shape))
        tensors[f"model.{name}"] = checkpoint.Raw("BF16", bits)
    checkpoint.save(directory / "model.safetensors", tensors)
    (directory / "config.json").write_text(json.dumps(DOCUMENT, indent=2))


def in_half(weights):
    """The same, whose tables stay in the sixteen bits of their file: embeddings and
    heads, as `refvlm.load` keeps them of a quantised directory."""
    shapes = {name: s for name, s in weights.shapes().items() if len(s) == 2}
    tables = [name for name, shape in shapes.items() if not is_linear(name, shape)]
    return weights.add({name: Half(weights.tensor(name)) for name in tables})


class Worker:
    """The model as `refvlm.load` gives it, or with its tables in half."""

    def __init__(self, directory, is_half=False):
        self.model = refvlm.load(directory)
        if is_half:
            self.model.weights = in_half(self.model.weights)

    def text(self, ids, steps):
        """Seconds for the prompt, and for each further token; and the tokens."""
        start = time.perf_counter()
        reading = self.model.reading(np.array([ids]), steps + 1)
        chosen = generate.greedy(reading.logits)
        prompt, start = time.perf_counter() - start, time.perf_counter()
        tokens = [int(chosen[0])]
        for _ in range(steps):
            chosen = generate.greedy(reading.step(chosen))
            tokens.append(int(chosen[0]))
        each = (time.perf_counter() - start) / steps
        return {"prompt": prompt, "token": each, "tokens": tokens}

    def versions(self):
        """What is measured."""
        return numpy_versions()


if __name__ == "__main__":
    worker = Worker(sys.argv[1], is_half=len(sys.argv) > 2)
    serve({name: getattr(worker, name) for name in ("text", "versions")})
