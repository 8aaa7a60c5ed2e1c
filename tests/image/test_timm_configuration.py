"""The spec of refvlm/image/timm_configuration.py."""

import json

import numpy as np
import pytest

from refvlm import image
from refvlm.checkpoint import CheckpointError
from refvlm.image.timm_configuration import preprocessor_from_timm

from ..oracles import import_torchvision
from ..spec import assert_close, contract, example, oracle
from .pictures import noise

SMALL = {
    "input_size": [3, 20, 20],
    "interpolation": "bicubic",
    "crop_pct": 0.9,
    "crop_mode": "center",
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
}


@example
def test_preprocessor_from_timm_of_deit():
    """224 is nine tenths of 248: the edges of the picture are cut off."""
    steps = preprocessor_from_timm(SMALL | {"input_size": [3, 224, 224]})
    assert steps == image.Preprocessor(
        shortest_edge=248,
        crop_to=(224, 224),
        mean=image.IMAGENET_MEAN,
        std=image.IMAGENET_STD,
    )


@oracle
@pytest.mark.parametrize("size", [(31, 23), (22, 40), (9, 12)])
@pytest.mark.parametrize("name", ["bicubic", "bilinear"])
def test_preprocessor_from_timm_equals_timm(compare, size, name):
    """timm's own transform of a picture, its crop and filter included."""
    config, picture = SMALL | {"interpolation": name}, noise(*size)

    def ask(torch):
        import_torchvision()
        from PIL import Image
        from timm.data import create_transform

        transform = create_transform(**config)
        return {"pixels": transform(Image.fromarray(picture)).numpy()}

    answers = compare.answers(ask, (config, picture))
    assert_close(preprocessor_from_timm(config)(picture), answers["pixels"], 1e-6)


@contract
@pytest.mark.parametrize(
    "change, message",
    [
        ({"input_size": [1, 20, 20]}, "input_size of pretrained_cfg is"),
        ({"input_size": [3, 20, 24]}, "3 colours and a square"),
        ({"input_size": 20}, "input_size of pretrained_cfg is 20"),
        ({"crop_pct": 1.5}, "crop_pct of pretrained_cfg is 1.5"),
        ({"crop_mode": "squash"}, "crop_mode of pretrained_cfg is"),
        ({"interpolation": "random"}, "interpolation of pretrained_cfg is"),
        ({"mean": 0.5}, "mean"),
        ({"std": [1, 1, 0]}, "above 0"),
    ],
)
def test_read_preprocessor_names_what_timm_may_not_say(tmp_path, change, message):
    """One clear error, with the file's name."""
    document = {"architecture": "x", "pretrained_cfg": SMALL | change}
    (tmp_path / "config.json").write_text(json.dumps(document))
    with pytest.raises(CheckpointError, match=f"config.json: .*{message}"):
        image.read_preprocessor(tmp_path)


@example
def test_read_preprocessor_finds_timms_in_its_config(tmp_path):
    """timm has one file for the model and its pictures."""
    document = {"architecture": "x", "pretrained_cfg": SMALL}
    (tmp_path / "config.json").write_text(json.dumps(document))
    pixels = image.read_preprocessor(tmp_path)(np.zeros((30, 30, 3), np.uint8))
    assert pixels.shape == (3, 20, 20)
