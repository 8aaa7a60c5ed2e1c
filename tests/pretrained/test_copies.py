"""Models that are pickled, copied, and used from several threads at once."""

import copy
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest

import refvlm
from refvlm.checkpoint import CheckpointError

from .. import blip_files, llavas, microvlm_files, tiny
from ..models.test_vit_names import TIMM, shapes_of_timm
from ..spec import contract, law
from ..weights import random_weights
from . import (
    test_backbone_directories,
    test_captions,
    test_clip,
    test_textbook,
    test_vision_model,
)

PICTURES = [np.full((20, 30, 3), level, np.uint8) for level in (10, 120, 250)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return {
        "vlm": tiny.write_checkpoint(root / "vlm"),
        "clip": test_clip.write(root / "clip"),
    }


def told(model):
    """What a model says, as bytes."""
    if hasattr(model, "classify"):
        return [model.classify(picture) for picture in PICTURES]
    if hasattr(model, "describe"):
        return [model.describe(picture, "Why?", 4) for picture in PICTURES]
    likely = model.probabilities(PICTURES, ["a star.", "a ring."])
    return likely.tobytes()


def write_timm(directory):
    """A ViT as timm saves one: its queries, keys and values are rows of one matrix."""
    document = TIMM | {"pretrained_cfg": {"input_size": [3, 12, 12]}}
    tensors = random_weights(shapes_of_timm(False), 4)
    return test_vision_model.write(directory, document, tensors, None)


def write_backbone(kind, directory):
    """A ResNet or a ConvNeXt, as transformers saves it."""
    document = test_backbone_directories.DOCUMENTS[kind]
    tensors = test_backbone_directories.tensors_of(kind)
    return test_backbone_directories.write(directory, document, tensors)


def write_tower(kind, directory):
    """A ViT or a DeiT, as transformers saves it."""
    document = test_vision_model.described(kind)
    tensors = test_vision_model.tensors_of(kind)
    return test_vision_model.write(directory, document, tensors)


def write_captioner(directory):
    return blip_files.write(directory, test_captions.CONFIG, test_captions.TENSORS)


FAMILIES = {
    "llava": llavas.write_checkpoint,
    "textbook": test_textbook.write,
    "blip": write_captioner,
    "blip-2": test_captions.write_blip2,
    "microvlm": microvlm_files.write,
    "timm": write_timm,
    **{kind: partial(write_tower, kind) for kind in ("vit", "deit")},
    **{kind: partial(write_backbone, kind) for kind in ("resnet", "convnext")},
}


BOTH = pytest.mark.parametrize("name", ["vlm", "clip"])


@law
@BOTH
@pytest.mark.parametrize("used", [False, True])
@pytest.mark.parametrize("way", ["pickled", "copied", "copied deeply"])
def test_copy_of_a_model_says_the_same(folders, name, used, way):
    """Opened a moment ago or used before, pickled or copied."""
    model = refvlm.load(folders[name])
    expected = told(refvlm.load(folders[name]))
    if used:
        told(model)
    copies = {
        "pickled": lambda: pickle.loads(pickle.dumps(model)),
        "copied": lambda: copy.copy(model),
        "copied deeply": lambda: copy.deepcopy(model),
    }
    again = copies[way]()
    assert again is not model and told(again) == expected and told(model) == expected


@law
@pytest.mark.parametrize("name", FAMILIES)
def test_models_of_every_family_can_be_pickled(tmp_path, name):
    """Opened a moment ago or used before: no part of a family is a nameless function,
    which no other process could look up."""
    (tmp_path / "model").mkdir()
    model = refvlm.load(FAMILIES[name](tmp_path / "model") or tmp_path / "model")
    fresh = pickle.loads(pickle.dumps(model))
    expected = told(model)
    assert told(fresh) == expected
    assert told(pickle.loads(pickle.dumps(model))) == expected


@law
@BOTH
def test_pickled_model_says_the_same_in_another_process(folders, name, tmp_path):
    """From another folder, and opened by a relative path: nothing is lost by it."""
    here = os.getcwd()
    os.chdir(folders[name].parent)
    try:
        model = refvlm.load(name)
    finally:
        os.chdir(here)
    (tmp_path / "model").write_bytes(pickle.dumps(model))
    program = """
import pickle, sys
import numpy as np
model = pickle.load(open(sys.argv[1], "rb"))
picture = np.full((20, 30, 3), 10, np.uint8)
if hasattr(model, "describe"):
    print(model.describe(picture, "Why?", 4).encode())
else:
    print(model.text_features(["a star."]).tobytes())
"""
    ran = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "model"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": here},
        capture_output=True,
        text=True,
    )
    expected = (
        model.describe(PICTURES[0], "Why?", 4).encode()
        if name == "vlm"
        else model.text_features(["a star."]).tobytes()
    )
    assert ran.stdout == f"{expected}\n", ran.stderr


@law
def test_models_can_be_used_from_several_threads(folders):
    """Two models, eight threads, all of them first: each gets its own answer."""
    expected = {name: told(refvlm.load(folder)) for name, folder in folders.items()}
    models = {name: refvlm.load(folder) for name, folder in folders.items()}
    names = ["vlm", "clip"] * 4
    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(lambda name: told(models[name]), names))
    assert said == [expected[name] for name in names]


@law
def test_copy_of_a_model_can_be_changed_alone(folders):
    """Other weights in the copy do not change the model that it was made of."""
    model = refvlm.load(folders["clip"])
    before, again = told(model), copy.deepcopy(model)
    zero = np.zeros_like(again.weights["visual_projection.weight"]) + 0.5
    again.weights = again.weights.replace({"visual_projection.weight": zero})
    assert told(again) != before and told(model) == before


@contract
def test_pickled_model_says_when_its_files_are_gone(tmp_path):
    """The weights stay in their folder, and the pickle is a few kilobytes."""
    folder = test_clip.write(tmp_path / "clip")
    pickled = pickle.dumps(refvlm.load(folder))
    assert len(pickled) < 20_000
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="there is no such file"):
        pickle.loads(pickled)
