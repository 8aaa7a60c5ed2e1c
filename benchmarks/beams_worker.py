"""The cases of beams.py, and the worker that times one library on them.

python -m benchmarks.beams_worker refvlm|transformers FOLDER
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np

from refvlm import checkpoint
from refvlm.models.qwen2 import Qwen2Config, expected_shapes

from . import identity
from .turns import serve

PROMPT, NEW = 32, 64
CASES = {  # model, how many prompts, and beams of each
    "greedy": ("whole", 1, 1),
    "4 beams": ("whole", 1, 4),
    "8 prompts, 4 beams": ("whole", 8, 4),
    "4 beams of 151,936 tokens": ("thin", 1, 4),
}
DOCUMENT = {
    "model_type": "qwen2",
    "architectures": ["Qwen2ForCausalLM"],
    "vocab_size": 8192,
    "hidden_size": 256,
    "intermediate_size": 704,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "hidden_act": "silu",
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-6,
    "rope_parameters": {"rope_theta": 1e4, "rope_type": "default"},
    "tie_word_embeddings": True,
}
# Little of a model before the vocabulary of Qwen2, so that most of a step is search.
THIN = DOCUMENT | {
    "vocab_size": 151_936,
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
}
DOCUMENTS = {"whole": DOCUMENT, "thin": THIN}
CONFIGS = {name: Qwen2Config.from_json(of) for name, of in DOCUMENTS.items()}


def write(folder):
    """Both models, each in a folder of its name."""
    for name, document in DOCUMENTS.items():
        Path(folder, name).mkdir()
        _write(Path(folder, name), document, CONFIGS[name])


def _write(folder, document, config):
    """A checkpoint of random weights, by which no token is certain and none a tie."""
    rng = np.random.default_rng(0)
    tensors = {}
    for name, shape in expected_shapes(config).items():
        values = rng.standard_normal(shape, dtype=np.float32)
        scale = shape[-1] ** -0.5 if len(shape) > 1 else 0.1
        centre = 1 if name.endswith("norm.weight") else 0
        tensors[f"model.{name}"] = np.float32(scale) * values + np.float32(centre)
    tensors["model.embed_tokens.weight"] *= 3
    checkpoint.save(Path(folder, "model.safetensors"), tensors)
    Path(folder, "config.json").write_text(json.dumps(document))


class Worker:
    """The models in one library, and prompts that both are given."""

    def __init__(self, library, folder):
        self.library, rng = library, np.random.default_rng(1)
        self.prompts = {
            name: rng.integers(0, CONFIGS[model].vocab_size, (prompts, PROMPT))
            for name, (model, prompts, _) in CASES.items()
        }
        open_ = {"refvlm": self._refvlm, "transformers": self._transformers}
        self.generate = {
            model: open_[library](Path(folder, model)) for model in DOCUMENTS
        }

    def run(self, name):
        """Seconds of a step, on the average, and the ids."""
        model, _, beams = CASES[name]
        self.spent = dict.fromkeys(("model", "reorder"), 0.0)
        start = time.perf_counter()
        ids = self.generate[model](self.prompts[name], beams)
        spent = {"step": time.perf_counter() - start, **self.spent}
        return {part: s / NEW for part, s in spent.items()} | {"ids": ids.tolist()}

    def _refvlm(self, folder):
        import refvlm
        from refvlm.generate import beam_search, decode

        model = refvlm.load(folder)

        def generate(prompts, beams):
            read = self._timed("model", model.reading)
            logits, step, reorder, prompt = read(prompts, NEW)
            step = self._timed("model", step)
            if beams == 1:
                return np.stack(list(decode(logits, step, NEW)), axis=1)
            reorder = self._timed("reorder", reorder)
            return beam_search(logits, step, reorder, prompt, NEW, beams).ids

        return generate

    def _timed(self, part, function):
        def timed(*given):
            start = time.perf_counter()
            out = function(*given)
            self.spent[part] += time.perf_counter() - start
            return out

        return timed

    def _transformers(self, folder):
        from .peer_transformers import torch, transformers

        kind = transformers.Qwen2ForCausalLM
        model = kind.from_pretrained(folder, dtype=torch.float32).eval()

        def generate(prompts, beams):
            with torch.inference_mode():
                ids = model.generate(
                    torch.from_numpy(prompts),
                    attention_mask=torch.ones(prompts.shape, dtype=torch.int64),
                    max_new_tokens=NEW,
                    num_beams=beams,
                    do_sample=False,
                    pad_token_id=0,
                )
            return ids[:, PROMPT:].numpy()

        return generate

    def versions(self):
        """What is measured."""
        if self.library == "refvlm":
            return identity.numpy_versions()
        from .peer_transformers import torch, transformers

        return {"torch": torch.__version__, "transformers": transformers.__version__}


if __name__ == "__main__":
    worker = Worker(*sys.argv[1:])
    serve({"run": worker.run, "versions": worker.versions})
