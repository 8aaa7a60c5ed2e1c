"""Directories of classifiers that were tampered with: one clear error, or an answer."""

import copy
import json
import random

import numpy as np
import pytest

import refvlm
from refvlm.analysis.shape_table import table_of

from .checkpoint.test_hostile_files import ODDITIES, nodes
from .models.test_vit_names import TIMM, shapes_of_timm
from .pretrained import test_vision_model as classifiers
from .spec import contract
from .test_hostile import PICTURE, as_json, damage, find, survives
from .test_hostile import write as put
from .weights import random_weights

SIZES = {"input_size": [3, 12, 12], "mean": [0.5, 0.5, 0.5], "interpolation": "bicubic"}


def good_files(directory, kind):
    """name -> bytes of a directory that works: transformers' ViT or DeiT, or timm's."""
    document, tensors, steps = TIMM | {"pretrained_cfg": SIZES}, None, None
    if kind == "timm":
        made = random_weights(shapes_of_timm(False), 4)
        tensors = {name: array.astype(np.float32) for name, array in made.items()}
    else:
        document, tensors = classifiers.described(kind), classifiers.tensors_of(kind)
        steps = classifiers.PREPROCESSOR
    classifiers.write(directory, document, tensors, steps)
    files = {path.name: path.read_bytes() for path in directory.iterdir()}
    put(directory, {})
    return files


def classify(directory):
    return " ".join(name for name, _ in refvlm.load(directory).classify(PICTURE))


def works(directory):
    """Whether the directory answers; if not, it said so as it should."""
    return all([survives(directory, table_of), survives(directory, classify)])


@contract
def test_hostile_classifiers_give_one_error_or_an_answer(tmp_path):
    """Three hundred damaged directories of three kinds."""
    layouts = [good_files(tmp_path, kind) for kind in ("vit", "deit", "timm")]
    for layout in layouts:
        put(tmp_path, layout)
        assert works(tmp_path), "a good directory has to be good"
    rng, working = random.Random(0), 0
    for _ in range(300):
        files = dict(rng.choice(layouts))
        name = rng.choice([*files, "config.json"])
        files[name] = damage(name, files[name], rng)
        put(tmp_path, files)
        working += works(tmp_path)
    assert 20 < working < 200, "the mutants are all alike, so this proves nothing"


@contract
@pytest.mark.parametrize("kind", ["vit", "timm"])
def test_hostile_values_of_a_classifier_give_one_error_or_an_answer(tmp_path, kind):
    """Every value of its configurations, replaced by something odd, one at a time."""
    files = good_files(tmp_path, kind)
    put(tmp_path, files)
    for name in files:
        if not name.endswith(".json"):
            continue
        document = json.loads(files[name])
        for number, path in enumerate(list(nodes(document))[1:]):
            for odd in ODDITIES[number % 3 :: 3]:
                changed = copy.deepcopy(document)
                find(changed, path[:-1])[path[-1]] = odd
                (tmp_path / name).write_bytes(as_json(changed))
                works(tmp_path)
        (tmp_path / name).write_bytes(files[name])
