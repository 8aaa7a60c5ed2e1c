"""The spec of refvlm/models/resnet.py."""

import numpy as np
import pytest

from refvlm.autodiff import value_and_grad
from refvlm.blocks.training_mode import Training, is_statistic
from refvlm.checkpoint import CheckpointError, Weights
from refvlm.models import resnet
from refvlm.models.fields import ConfigError
from refvlm.models.resnet import ResNetConfig
from refvlm.shapes import ShapeError

from ..backbones import answers_of, gradients_of, single
from ..spec import (
    assert_close,
    contract,
    derivative,
    example,
    law,
    oracle,
    random_arrays,
)
from ..timm_oracles import assert_seen_alike, see_through
from ..weights import random_weights

LABELS = {str(i): f"label {i}" for i in range(5)}
JSON = {"model_type": "resnet", "embedding_size": 6, "id2label": LABELS}
KINDS = {
    "basic": {"layer_type": "basic", "hidden_sizes": [6, 10], "depths": [2, 1]},
    "basic, at once halved": {
        "layer_type": "basic",
        "hidden_sizes": [8, 8, 12],
        "depths": [1, 2, 1],
        "downsample_in_first_stage": True,
    },
    "bottleneck": {"hidden_sizes": [8, 16, 24], "depths": [1, 2, 1]},
    "bottleneck, halved first": {
        "hidden_sizes": [12, 16],
        "depths": [2, 2],
        "downsample_in_bottleneck": True,
    },
}
PIXELS = random_arrays(3)(2, 3, 37, 50)


def whole_shapes(config, labels=5):
    """The tower and the classifier, by their full names."""
    tower = resnet.expected_shapes(config)
    named = {f"resnet.{tensor}": shape for tensor, shape in tower.items()}
    return named | resnet.head_shapes(config, labels)


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def tiny(request):
    """(what config.json says, the configuration, the tensors)."""
    document = JSON | request.param
    config = ResNetConfig.from_json(document)
    return document, config, random_weights(whole_shapes(config), seed=4)


@example
@pytest.mark.parametrize(
    "sizes, depths, kind, parameters",
    [
        ((64, 128, 256, 512), (2, 2, 2, 2), "basic", 11_689_512),
        ((64, 128, 256, 512), (3, 4, 6, 3), "basic", 21_797_672),
        ((256, 512, 1024, 2048), (3, 4, 6, 3), "bottleneck", 25_557_032),
        ((256, 512, 1024, 2048), (3, 4, 23, 3), "bottleneck", 44_549_160),
    ],
)
def test_expected_shapes_count_the_published_parameters(
    sizes, depths, kind, parameters
):
    """ResNet-18, 34, 50 and 101 with a thousand labels; statistics do not count."""
    config = ResNetConfig(hidden_sizes=sizes, depths=depths, layer_type=kind)
    shapes = whole_shapes(config, 1000)
    counted = sum(int(np.prod(s)) for n, s in shapes.items() if not is_statistic(n))
    assert counted == parameters


@example
def test_feature_pyramid_halves_from_stage_to_stage():
    """Maps at steps of 4, 8, 16 and 32 pixels, of a picture of 64 x 96."""
    config = ResNetConfig(4, (4, 8, 12, 16), (1, 1, 1, 1), "basic")
    weights = Weights(random_weights(resnet.expected_shapes(config)))
    maps = resnet.feature_pyramid(np.zeros((1, 3, 64, 96)), weights, config)
    assert [x.shape[1:] for x in maps] == [
        (4, 16, 24),
        (8, 8, 12),
        (12, 4, 6),
        (16, 2, 3),
    ]


@law
def test_prepare_leaves_the_output_and_no_normalisation(tiny):
    """Folded filters say what filters and statistics at rest said."""
    _, config, tensors = tiny
    weights = Weights(tensors)
    folded = resnet.prepare(weights, config)
    assert not any("normalization" in name for name in folded)
    assert {n.rpartition(".")[0] for n in folded if n.endswith("n.bias")} == {
        n.removesuffix(".weight") for n in folded if n.endswith("convolution.weight")
    }
    whole = resnet.logits(PIXELS, weights, config)
    assert_close(resnet.logits(PIXELS, folded, config), whole)


@law
def test_logits_of_a_picture_do_not_depend_on_the_others(tiny):
    """At rest, a batch is its pictures one by one."""
    _, config, tensors = tiny
    together = resnet.logits(PIXELS, Weights(tensors), config)
    alone = resnet.logits(PIXELS[1:], Weights(tensors), config)
    assert_close(alone, together[1:])


@law
def test_training_uses_the_statistics_of_the_batch(tiny):
    """Every running statistic moves, and the logits are others than at rest."""
    _, config, tensors = tiny
    training, weights = Training(), Weights(tensors)
    learning = resnet.logits(PIXELS, weights, config, training)
    assert training.statistics.keys() == {n for n in tensors if is_statistic(n)}
    assert np.abs(learning - resnet.logits(PIXELS, weights, config)).max() > 1e-2


@oracle
def test_resnet_equals_transformers(compare, tiny):
    """Logits, pooled features and every map, of odd sizes, in both dtypes."""
    document, config, tensors = tiny

    def ask(torch):
        return answers_of(torch, "ResNet", document, tensors, PIXELS)

    answers = compare.answers(ask, (document, tensors, PIXELS))
    assert answers["logits"].std() > 0.1 and answers["pooled"].std() > 0.1
    for cast in (lambda tensors: tensors, single):
        weights, (pixels,) = Weights(cast(tensors)), cast({"x": PIXELS}).values()
        tower = weights.scope("resnet")
        tolerance = 1e-12 if pixels.dtype == np.float64 else 1e-5
        expected = {n: a.astype(pixels.dtype) for n, a in answers.items()}
        maps = [x for _, x in resnet.stages(pixels, tower, config)]
        assert len(maps) == len(answers) - 2
        for i, seen in enumerate(maps):
            assert_close(seen, expected[f"map {i}"], tolerance)
        pooled = resnet.features(pixels, tower, config).mean((2, 3))
        assert_close(pooled, expected["pooled"], tolerance)
        logits = resnet.logits(pixels, weights, config)
        assert_close(logits, expected["logits"], tolerance)


@derivative
def test_resnet_derivative_equals_transformers(compare):
    """The gradient of every weight through bottlenecks and shortcuts, at rest."""
    document = JSON | KINDS["bottleneck"]
    config = ResNetConfig.from_json(document)
    tensors = random_weights(whole_shapes(config), seed=5)

    def ask(torch):
        found = gradients_of(torch, "ResNet", document, tensors, PIXELS)
        return {"gradients": see_through(found)}

    answers = compare.answers(ask, (document, tensors, PIXELS), 1e-9)

    def loss(weights):
        return (resnet.logits(PIXELS, weights, config) ** 2).sum()

    learnt = {n: a for n, a in tensors.items() if not is_statistic(n)}
    fixed = {n: a for n, a in tensors.items() if is_statistic(n)}
    _, gradients = value_and_grad(lambda some: loss(some.add(fixed)))(Weights(learnt))
    assert_seen_alike(see_through(gradients), answers["gradients"])


@contract
@pytest.mark.parametrize(
    "change, message",
    [
        ({"layer_type": "dense"}, "layer_type is 'dense', but only 'basic' or 'bott"),
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu'"),
        ({"num_channels": 1}, "num_channels is 1"),
        ({"hidden_sizes": [8, 10, 24]}, "has 10, but a bottleneck needs a multiple"),
        ({"hidden_sizes": [8, 16]}, "hidden_sizes must be a list of 3"),
        ({"hidden_sizes": 8}, "hidden_sizes must be a list of 3"),
        ({"depths": []}, "depths must be a list of from 1 to 64"),
        ({"depths": [1, 0, 1]}, "depths must be a whole number from 1"),
        ({"depths": [1, 2, 1.0]}, "depths must be a whole number"),
        ({"embedding_size": "6"}, "embedding_size must be a whole number"),
        ({"downsample_in_bottleneck": 1}, "must be true or false"),
        ({"model_type": "convnext"}, "model_type is 'convnext'"),
    ],
)
def test_resnet_config_refuses_what_it_cannot_build(change, message):
    """A configuration that means another model is an error, not another answer."""
    with pytest.raises(ConfigError, match=message):
        ResNetConfig.from_json(JSON | KINDS["bottleneck"] | change)


@contract
def test_resnet_refuses_what_is_no_picture_and_damaged_statistics():
    """Grey pictures, and a variance below zero where it would be folded."""
    config = ResNetConfig.from_json(JSON | KINDS["basic"])
    tensors = random_weights(whole_shapes(config))
    with pytest.raises(ShapeError, match="pixels"):
        resnet.logits(PIXELS[:, :1], Weights(tensors), config)
    name = "resnet.embedder.embedder.normalization.running_var"
    tensors[name] = -tensors[name]
    with (
        np.errstate(invalid="ignore"),
        pytest.raises(CheckpointError, match="embedder.convolution.weight infinite"),
    ):
        resnet.prepare(Weights(tensors), config)
