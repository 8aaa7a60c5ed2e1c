"""The spec of refvlm.load on directories of ResNet and ConvNeXt.

They are rows of refvlm/models/vision_models.py, opened by pretrained/vision_model.py.
"""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

import refvlm
from refvlm.checkpoint import CheckpointError
from refvlm.models import resnet
from refvlm.models.fields import ConfigError
from refvlm.models.vision_models import VISION_MODELS
from refvlm.pretrained import VisionModel
from refvlm.shapes import ShapeError

from ..backbones import scattered, single
from ..image.pictures import noise
from ..oracles import import_torchvision
from ..spec import assert_close, contract, law, oracle
from ..weights import random_weights

LABELS = {"0": "ring", "1": "star", "2": "cross"}
DOCUMENTS = {
    "resnet": {
        "model_type": "resnet",
        "architectures": ["ResNetForImageClassification"],
        "embedding_size": 6,
        "hidden_sizes": [8, 16],
        "depths": [1, 2],
        "id2label": LABELS,
    },
    "convnext": {
        "model_type": "convnext",
        "architectures": ["ConvNextForImageClassification"],
        "hidden_sizes": [6, 9],
        "depths": [1, 2],
        "num_stages": 2,
        "id2label": LABELS,
    },
}
PREPROCESSOR = {
    "image_processor_type": "ConvNextImageProcessor",
    "crop_pct": 0.875,
    "size": {"shortest_edge": 40},
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
}
PICTURES = [noise(50, 61, seed=1), noise(39, 30, seed=2)]


def tensors_of(kind):
    """A checkpoint's tensors, every one random."""
    family, document = VISION_MODELS[kind], DOCUMENTS[kind]
    config = family.config(document)
    shapes = family.expected_shapes(config, next(iter(family.heads)), 3)
    return single(scattered(random_weights(shapes, seed=8)))


def write(directory, document, tensors, preprocessor=PREPROCESSOR):
    """A directory as transformers saves one."""
    counted = {
        name.replace("running_mean", "num_batches_tracked"): np.array(7)
        for name in tensors
        if name.endswith("running_mean")
    }
    save_file(tensors | counted, directory / "model.safetensors", {"format": "pt"})
    files = {"config": document, "preprocessor_config": preprocessor}
    for name, content in files.items():
        (directory / f"{name}.json").write_text(json.dumps(content))
    return directory


@pytest.fixture(params=DOCUMENTS)
def kind(request):
    """resnet, then convnext."""
    return request.param


@law
def test_load_opens_a_backbone_that_classifies(tmp_path, kind):
    """All classes by name, certain together; the features are the last map."""
    model = refvlm.load(write(tmp_path, DOCUMENTS[kind], tensors_of(kind)))
    assert isinstance(model, VisionModel) and model.dtype == np.float32
    said = model.classify(PICTURES[0])
    assert sorted(name for name, _ in said) == ["cross", "ring", "star"]
    assert abs(sum(share for _, share in said) - 1) < 1e-12
    pixels = model.preprocessor.batch(PICTURES)
    assert pixels.shape == (2, 3, 40, 40)
    assert model.features(pixels).shape == (2, model.config.width, 5, 5)
    assert model.features(pixels[:, :, :17]).shape[2:] in ((2, 5), (3, 5))


@law
def test_load_leaves_a_resnet_no_normalisation(tmp_path):
    """What is opened for inference is folded, and says what the file says."""
    tensors = tensors_of("resnet")
    model = refvlm.load(write(tmp_path, DOCUMENTS["resnet"], tensors))
    assert not any("normalization" in name for name in model.weights)
    pixels = model.preprocessor.batch(PICTURES)
    weights = refvlm.checkpoint.Weights(tensors)
    config = VISION_MODELS["resnet"].config(DOCUMENTS["resnet"])
    unfolded = resnet.logits(pixels, weights, config)
    assert_close(model.logits(pixels), unfolded)


@law
def test_load_opens_a_tower_without_a_head(tmp_path, kind):
    """A ResNetModel's names have no `resnet.`, and there is nothing to classify by."""
    scope = VISION_MODELS[kind].scope
    tower = {
        name.removeprefix(f"{scope}."): array
        for name, array in tensors_of(kind).items()
        if name.startswith(f"{scope}.")
    }
    document = DOCUMENTS[kind] | {"architectures": ["ResNetModel"]}
    bare = refvlm.load(write(tmp_path, document, tower))
    assert bare.features(np.zeros((1, 3, 32, 32))).shape[0] == 1
    with pytest.raises(ValueError, match="has no head that classifies"):
        bare.classify(PICTURES[0])


@oracle
def test_load_classifies_as_transformers_does(compare, tmp_path, kind):
    """transformers opens the same directory, and gives the same probabilities."""
    folder = write(tmp_path, DOCUMENTS[kind], tensors_of(kind))

    def ask(torch):
        import_torchvision()
        from transformers import AutoModelForImageClassification
        from transformers.models.convnext.image_processing_pil_convnext import (
            ConvNextImageProcessorPil,
        )

        model = AutoModelForImageClassification.from_pretrained(folder)
        steps = ConvNextImageProcessorPil.from_pretrained(folder)
        pixels = steps(PICTURES, return_tensors="pt")["pixel_values"]
        logits = model.double().eval()(pixels.double()).logits
        return {"likely": logits.softmax(-1).detach().numpy()}

    given = (tensors_of(kind), PICTURES, DOCUMENTS[kind], PREPROCESSOR)
    expected = compare.answers(ask, given)["likely"]
    assert expected.std() > 0.05
    model = refvlm.load(folder, dtype=np.float64)
    for picture, row in zip(PICTURES, expected):
        said = dict(model.classify(picture))
        assert_close(np.array([said[n] for n in LABELS.values()]), row, 1e-11)


@law
@pytest.mark.parametrize("name", ["resnet18", "resnet50", "convnext_tiny"])
def test_timms_names_of_architectures_say_every_size(name):
    """timm's config.json has the name alone; our table has what it means."""
    from refvlm.models.vision_models import spelled

    document = spelled({"architecture": f"{name}.in1k", "num_classes": 10})
    family = VISION_MODELS[document["model_type"]]
    config = family.config(document)
    head = next(iter(family.heads))
    shapes = family.expected_shapes(config, head, 1000)
    counted = sum(
        int(np.prod(shape)) for n, shape in shapes.items() if "running" not in n
    )
    published = {
        "resnet18": 11_689_512,
        "resnet50": 25_557_032,
        "convnext_tiny": 28_589_128,
    }
    assert counted == published[name]


@contract
@pytest.mark.parametrize(
    "kind, change, message",
    [
        ("resnet", {"layer_type": "basic"}, "of another shape: .*layer.0.convolution"),
        ("resnet", {"depths": [1, 3]}, "missing: .*layers.2"),
        ("resnet", {"depths": [1, 1]}, "unexpected: .*layers.1"),
        ("resnet", {"hidden_sizes": [8, 12]}, "of another shape"),
        ("resnet", {"hidden_act": "gelu"}, "config.json: hidden_act is 'gelu'"),
        ("resnet", {"id2label": {"0": "a"}}, "has 3 rows, but id2label .* names 1"),
        ("convnext", {"layer_scale_init_value": 0}, "unexpected: .*layer_scale_par"),
        ("convnext", {"patch_size": 7}, r"is \(6, 3, 4, 4\) and should be"),
        ("convnext", {"num_stages": 3}, "config.json: num_stages is 3"),
        ("convnext", {"model_type": "resnet"}, "hidden_sizes has 6, but a bottleneck"),
    ],
)
def test_load_refuses_a_backbone_that_does_not_fit(tmp_path, kind, change, message):
    """Another block, depth, width or head than the file's: one clear error."""
    write(tmp_path, DOCUMENTS[kind] | change, tensors_of(kind))
    with pytest.raises((CheckpointError, ConfigError), match=message):
        refvlm.load(tmp_path)


@contract
def test_load_refuses_damaged_backbones(tmp_path, kind):
    """A NaN in the file, a variance below zero, a picture of one pixel."""
    tensors = tensors_of(kind)
    head = next(iter(VISION_MODELS[kind].heads))
    damaged = tensors | {
        f"{head}.weight": np.full_like(tensors[f"{head}.weight"], 3e38)
    }
    with pytest.raises(CheckpointError, match="are not finite numbers"):
        refvlm.load(write(tmp_path, DOCUMENTS[kind], damaged)).classify(PICTURES[0])
    if kind == "resnet":
        name = "resnet.embedder.embedder.normalization.running_var"
        with pytest.raises(CheckpointError, match="infinite or NaN: a running_var"):
            damaged = tensors | {name: -tensors[name]}
            refvlm.load(write(tmp_path, DOCUMENTS[kind], damaged))
    model = refvlm.load(write(tmp_path, DOCUMENTS[kind], tensors))
    with pytest.raises((ShapeError, ValueError), match="pixel_values is .* must be"):
        model.logits(np.zeros((1, 1, 40, 40)))
    if kind == "convnext":
        with pytest.raises((ShapeError, ValueError), match="conv2d"):
            model.logits(np.zeros((1, 3, 3, 3)))


@contract
def test_timms_arguments_that_are_not_known_are_refused():
    """Another stem or another pooling is another network."""
    from refvlm.models.vision_models import spelled

    with pytest.raises(ConfigError, match="model_args is"):
        spelled({"architecture": "resnet18", "model_args": {"stem_type": "deep"}})
    with pytest.raises(ConfigError, match="global_pool is 'max'"):
        spelled({"architecture": "convnext_tiny", "global_pool": "max"})
