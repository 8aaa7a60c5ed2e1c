"""The cases of encoders.py, and the worker that times one library on them.

python -m benchmarks.encoders_worker refvlm|transformers FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

import refvlm
from refvlm.models import clip

from . import identity
from .turns import seconds, serve

WORDS, NEW, IMAGE = 32, 16, 31_999


class Case(NamedTuple):
    """A model of `MODELS`, what of it is timed, on how many pictures or texts of which
    side, and the forms in which PyTorch does it."""

    model: str
    part: str
    batch: int
    side: int
    forms: tuple[str, ...]


ATTENTION, LAYOUTS = ("sdpa", "eager"), ("contiguous", "channels_last")
CASES = {
    "ViT-B/16": Case("vit-b16", "classify", 1, 224, ATTENTION),
    "ViT-B/16, 8 pictures": Case("vit-b16", "classify", 8, 224, ATTENTION),
    "CLIP B/32, picture": Case("clip-b32", "look", 1, 224, ATTENTION),
    "CLIP B/32, text": Case("clip-b32", "read", 1, 77, ATTENTION),
    "LLaVA, prompt": Case("llava", "prompt", 1, 224, ATTENTION),
    "LLaVA, token": Case("llava", "token", 1, 224, ATTENTION),
    "ResNet-50": Case("resnet-50", "classify", 1, 224, LAYOUTS),
    "ConvNeXt-T": Case("convnext-t", "classify", 1, 224, LAYOUTS),
}

# What transformers calls a model, and what its configuration has besides the defaults,
# which are ViT-B/16, CLIP B/32, ResNet-50 and ConvNeXt-T. LLaVA-1.5-7B would need 28 GB
# in float32 for each library: this one has CLIP B/16's tower and a decoder of 12 layers
# of 1,024, a twentieth of it.
MODELS = {
    "vit-b16": ("ViTForImageClassification", {"num_labels": 1000}),
    "clip-b32": ("CLIPModel", {}),
    "llava": (
        "LlavaForConditionalGeneration",
        {
            "image_token_index": IMAGE,
            "image_seq_length": 196,
            "vision_config": {
                "model_type": "clip_vision_model",
                "hidden_size": 768,
                "intermediate_size": 3072,
                "num_hidden_layers": 12,
                "num_attention_heads": 12,
                "image_size": 224,
                "patch_size": 16,
            },
            "text_config": {
                "model_type": "llama",
                "hidden_size": 1024,
                "intermediate_size": 2816,
                "num_hidden_layers": 12,
                "num_attention_heads": 16,
                "num_key_value_heads": 16,
                "vocab_size": 32_000,
            },
        },
    ),
    "resnet-50": ("ResNetForImageClassification", {"num_labels": 1000}),
    "convnext-t": ("ConvNextForImageClassification", {"num_labels": 1000}),
}


def inputs(case):
    """(pixels, ids), of which a part that looks at nothing, or reads nothing, has no
    use."""
    rng = np.random.default_rng(0)
    if case.part == "read":
        ids = rng.integers(0, 40_000, (case.batch, case.side))
        ids[:, -1] = 49_407  # the end, behind which a text's feature is read
        return None, ids
    pixels = rng.standard_normal((case.batch, 3, case.side, case.side))
    patches = MODELS["llava"][1]["image_seq_length"]
    words = rng.integers(0, IMAGE, (case.batch, WORDS))
    ids = np.concatenate([np.full((case.batch, patches), IMAGE), words], axis=1)
    return pixels.astype(np.float32), ids


class Refvlm:
    """The models as `refvlm.load` gives them."""

    def __init__(self, folder):
        self.folder, self.models = Path(folder), {}

    def model(self, case):
        """The model of a case, opened once."""
        if case.model not in self.models:
            self.models[case.model] = refvlm.load(self.folder / case.model)
        return self.models[case.model]

    def job(self, case, form=None):
        """What is timed; it gives what is compared."""
        model, (pixels, ids) = self.model(case), inputs(case)
        if case.part == "classify":
            return lambda: model.logits(pixels)
        if case.part == "look":
            return lambda: clip.image_features(pixels, model.weights, model.config)
        if case.part == "read":
            return lambda: clip.text_features(ids, model.weights, model.config)
        if case.part == "prompt":
            return lambda: model.reading(pixels, ids, NEW).logits
        return self.tokens(model, pixels, ids)

    @staticmethod
    def tokens(model, pixels, ids):
        """A job of NEW tokens behind the prompt, always the same ones."""
        reading, left = None, 0

        def job():
            nonlocal reading, left
            if not left:
                reading, left = model.reading(pixels, ids, NEW), NEW
            left -= 1
            return reading.step(ids[:, -1])

        return job

    def versions(self):
        """What is measured."""
        return identity.numpy_versions()


class Transformers:
    """The models as transformers has them, and who writes them."""

    def __init__(self, folder):
        from .peer_transformers import torch, transformers  # with what torch needs

        self.torch, self.library = torch, transformers
        torch.set_grad_enabled(False)
        self.folder, self.models = Path(folder), {}

    def write(self, model):
        """A checkpoint with random weights, in a folder of its name, once."""
        place = self.folder / model
        if not (place / "model.safetensors").exists():
            name, changes = MODELS[model]
            kind = getattr(self.library, name)
            self.torch.manual_seed(0)
            kind(kind.config_class(**changes)).save_pretrained(place)

    def model(self, case, form):
        """The model of a case in one form, opened once."""
        if case.model not in self.models:
            kind = getattr(self.library, MODELS[case.model][0])
            place = self.folder / case.model
            opened = kind.from_pretrained(place, dtype=self.torch.float32)
            self.models[case.model] = opened.eval()
        model = self.models[case.model]
        if form in ATTENTION:
            model.set_attn_implementation(form)
        else:
            model.to(memory_format=self.layout(form))
        return model

    def layout(self, form):
        """PyTorch's name of a memory layout."""
        last = form == "channels_last"
        return self.torch.channels_last if last else self.torch.contiguous_format

    def job(self, case, form=None):
        """What is timed; it gives what is compared."""
        torch, form = self.torch, form or case.forms[0]
        model, (pixels, ids) = self.model(case, form), inputs(case)
        ids = torch.from_numpy(ids)
        if pixels is not None:
            pixels = torch.from_numpy(pixels)
            pixels = pixels.to(memory_format=self.layout(form))
        if case.part == "classify":
            return lambda: model(pixels).logits.numpy()
        if case.part == "look":
            seen = model.get_image_features
            return lambda: seen(pixels).pooler_output.numpy()
        if case.part == "read":
            return lambda: model.get_text_features(ids).pooler_output.numpy()

        def prompt():
            return model(
                input_ids=ids, pixel_values=pixels, use_cache=True, logits_to_keep=1
            )

        if case.part == "prompt":
            return lambda: prompt().logits[:, -1].numpy()
        return self.tokens(model, prompt, ids)

    @staticmethod
    def tokens(model, prompt, ids):
        """A job of NEW tokens behind the prompt, always the same ones."""
        cache, left = None, 0

        def job():
            nonlocal cache, left
            if not left:
                cache, left = prompt().past_key_values, NEW
            left -= 1
            said = model(input_ids=ids[:, -1:], past_key_values=cache, use_cache=True)
            return said.logits[:, -1].numpy()

        return job

    def versions(self):
        """What is measured."""
        torch, library = self.torch, self.library
        return {"torch": torch.__version__, "transformers": library.__version__}

    def cost(self, name):
        """FLOPs, as PyTorch counts them, and bytes of weights, each read once, where
        reading them is most of the work."""
        from torch.utils.flop_counter import FlopCounterMode

        case = CASES[name]
        job = self.job(case)
        if case.part == "token":
            job()  # the prompt is read with the first of them
        with FlopCounterMode(display=False) as counter:
            job()
        read = []
        if case.part == "token":
            model = self.models[case.model]
            decoder = model.model.language_model.layers.parameters()
            read = [*decoder, model.lm_head.weight]
        return {
            "flops": counter.get_total_flops(),
            "bytes": sum(weight.nbytes for weight in read),
        }


class Worker:
    """Times one library."""

    def __init__(self, library, folder):
        self.library = {"refvlm": Refvlm, "transformers": Transformers}[library](folder)

    def run(self, name, form=None):
        """Seconds of one call; of a token, one of those behind a prompt."""
        job = self.library.job(CASES[name], form)
        if CASES[name].part == "token":
            job()
        return seconds(job)

    def answer(self, name, out):
        """Write what the first call gives to a file."""
        np.save(out, self.library.job(CASES[name])())


if __name__ == "__main__":
    worker = Worker(*sys.argv[1:3])
    tasks = {"run": worker.run, "answer": worker.answer}
    tasks["versions"] = worker.library.versions
    if sys.argv[1] == "transformers":
        tasks |= {"write": worker.library.write, "cost": worker.library.cost}
    serve(tasks)
