"""From a finished run to a directory that anyone can load.

    config.json  model.safetensors  tokenizer.json  tokenizer_config.json
    preprocessor_config.json  generation_config.json  training.csv

The branches of training are folded, what was needed only in training is left out, and
every file is written whole or not at all.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from .. import pretrained
from ..checkpoint import Weights, write_text
from ..models import fastvlm
from ..models.fastvithd import fold
from ..train.state import State
from .fastvlm_tiny import MEAN, SEEING, SIDE, STD, FastVLMTiny, config_json

CURVE, EVERY = "training.csv", 50

PREPROCESSOR = {
    "image_processor_type": "LlavaImageProcessor",
    "do_pad": True,
    "do_resize": True,
    "size": {"shortest_edge": SIDE},
    "resample": 3,
    "do_center_crop": True,
    "crop_size": {"height": SIDE, "width": SIDE},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [MEAN] * 3,
    "image_std": [STD] * 3,
    "do_convert_rgb": True,
}


def publish(recipe: FastVLMTiny, state: State, directory: str | Path) -> None:
    """Write the model of a run, folded for inference, in Hugging Face's layout."""
    learnt = {n: a for n, a in state.tensors.items() if not n.startswith(SEEING)}
    weights = fold(Weights(learnt, "the run"), recipe.config.vision, fastvlm.TOWER)
    config = config_json(recipe.tokenizer)
    config["vision_config"]["model_args"]["inference_mode"] = True
    stop = config["text_config"]["eos_token_id"]
    tensors = {name: np.ascontiguousarray(weights[name]) for name in weights}
    tensors |= _batches_seen(tensors, state.step)
    pretrained.save(
        directory,
        tensors,
        recipe.tokenizer,
        config=config,
        preprocessor_config=PREPROCESSOR,
        generation_config={"eos_token_id": stop, "do_sample": False},
    )
    write_curve(Path(directory) / CURVE, state)


def _batches_seen(tensors, steps):
    """PyTorch's batch norms count their batches, and its loaders miss the count."""
    norms = [n.removesuffix("running_var") for n in tensors if "running_var" in n]
    return {f"{norm}num_batches_tracked": np.array(steps) for norm in norms}


def write_curve(path: Path, state: State) -> None:
    """The history as a table, a row for the mean of every `EVERY` steps.

    Where nothing was noted, nothing is written.
    """
    names = sorted({name for row in state.history for name in row})
    lines = io.StringIO()
    table = csv.writer(lines, lineterminator="\n")
    table.writerow(["step", *names])
    for start in range(0, len(state.history), EVERY):
        rows = state.history[start : start + EVERY]
        table.writerow([start + len(rows), *(_mean(rows, name) for name in names)])
    write_text(path, lines.getvalue())


def _mean(rows, name):
    noted = [row[name] for row in rows if name in row]
    return f"{np.mean(noted):.5g}" if noted else ""
