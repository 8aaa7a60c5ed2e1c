"""FastVLM-0.5B and the operators of operator_cases.py as ONNX files, by PyTorch.

    python -m benchmarks.export_onnx model FOLDER
    python -m benchmarks.export_onnx operators FOLDER [attention]

`model` exports what peer_transformers.py runs, the model of transformers, from the
checkpoint in FOLDER: the tower with the projector at 1024 x 1024, and the decoder, one
graph for the prompt and for every token after it, since the lengths of text and cache
are free in it. `operators` exports the cases (with a word in their names) as a model
has them: what changes from call to call comes in, and weights are constants.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from .turns import ROOT, RefusedError

PLACE = "onnx"  # the folder inside FOLDER
OPSET = 23  # the first with attention, RMS norm and rotary embedding


def exported(kind, folder, only=""):
    """Export into FOLDER unless it is there, in a process that ends with PyTorch."""
    if not (Path(folder) / PLACE).exists():
        module = [sys.executable, "-m", "benchmarks.export_onnx"]
        words = [kind, str(folder), *([only] if kind == "operators" else [])]
        if subprocess.run([*module, *words], cwd=ROOT).returncode:
            raise RefusedError(f"the export of {kind} failed: its error is above")


def operator_file(name):
    """The file of a case."""
    return re.sub(r"\W+", "-", name) + ".onnx"


def image_token(folder):
    """The id in whose places the picture's tokens stand."""
    config = json.loads((Path(folder) / "config.json").read_text())
    return config["image_token_index"]


def main(kind, folder, only=""):
    """Write everything beside its place, and move it there whole."""
    unfinished = Path(folder) / f"{PLACE}.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    if kind == "model":
        write_model(folder, unfinished)
    else:
        write_operators(only, unfinished)
    os.replace(unfinished, Path(folder) / PLACE)


def write_model(checkpoint, place):
    """tower.onnx and decoder.onnx."""
    import torch

    from .peer_transformers import Worker

    model = Worker(checkpoint).model
    save = {
        "opset_version": OPSET,
        "dynamo": True,
        "external_data": True,
        "verbose": False,
    }
    pixels = torch.zeros(1, 3, 1024, 1024)
    names = {"input_names": ["pixels"], "output_names": ["tokens"]}
    torch.onnx.export(_tower(model), (pixels,), place / "tower.onnx", **names, **save)

    text = model.config.text_config
    size = text.hidden_size // text.num_attention_heads
    past = [
        torch.zeros(1, text.num_key_value_heads, 7, size)
        for _ in range(2 * text.num_hidden_layers)
    ]
    embeddings, positions = torch.zeros(1, 5, text.hidden_size), torch.arange(3)
    free = torch.export.Dim.DYNAMIC
    torch.onnx.export(
        _decoder(model),
        (embeddings, positions, past),
        place / "decoder.onnx",
        dynamic_shapes=({1: free}, {0: free}, [{2: free}] * len(past)),
        **save,
    )


def _tower(model):
    import torch

    class Tower(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model.model

        def forward(self, pixels):
            return self.model.get_image_features(pixels).pooler_output

    return Tower().eval()


def _decoder(model):
    import torch
    from transformers import DynamicCache

    class Decoder(torch.nn.Module):
        """(embeddings, places that get logits, cache) to (logits, longer cache).

        The cache is a key and a value for each layer, in turns.
        """

        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, embeddings, positions, past):
            cache = DynamicCache(config=model.config.text_config)
            for layer, pair in enumerate(zip(past[::2], past[1::2])):
                cache.update(*pair, layer)
            state = self.model(
                inputs_embeds=embeddings,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=positions,
            )
            layers = state.past_key_values.layers
            return state.logits, [a for one in layers for a in (one.keys, one.values)]

    return Decoder().eval()


def write_operators(only, place):
    """One file for each case with `only` in its name."""
    import torch

    from .operator_cases import CASES, arrays

    class Operator(torch.nn.Module):
        def __init__(self, call, weights):
            super().__init__()
            self.call, self.weights = call, torch.nn.ParameterList(weights)

        def forward(self, *given):
            return self.call(torch.nn.functional, *given, *self.weights)

    for name, case in CASES.items():
        if only not in name:
            continue
        tensors = [torch.from_numpy(array) for array in arrays(name)]
        given, weights = tensors[: case.given], tensors[case.given :]
        torch.onnx.export(
            Operator(case.call, weights).eval(),
            tuple(given),
            place / operator_file(name),
            opset_version=OPSET,
            dynamo=True,
            external_data=True,
            verbose=False,
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
