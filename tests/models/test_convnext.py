"""The spec of refvlm/models/convnext.py."""

import numpy as np
import pytest

from refvlm.autodiff import value_and_grad
from refvlm.blocks.training_mode import Training
from refvlm.checkpoint import Weights
from refvlm.models import convnext
from refvlm.models.convnext import ConvNextConfig
from refvlm.models.fields import ConfigError
from refvlm.shapes import ShapeError

from ..backbones import answers_of, gradients_of, scattered, single
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
JSON = {"model_type": "convnext", "id2label": LABELS, "layer_norm_eps": 1e-3}
KINDS = {
    "three stages": {"hidden_sizes": [5, 8, 13], "depths": [1, 2, 1], "num_stages": 3},
    "small patches, no layer scale": {
        "hidden_sizes": [6, 10],
        "depths": [2, 1],
        "num_stages": 2,
        "patch_size": 3,
        "layer_scale_init_value": 0.0,
    },
}
PIXELS = random_arrays(3)(2, 3, 37, 50)


def whole_shapes(config, labels=5):
    """The tower and the classifier, by their full names."""
    tower = convnext.expected_shapes(config)
    named = {f"convnext.{tensor}": shape for tensor, shape in tower.items()}
    return named | convnext.head_shapes(config, labels)


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def tiny(request):
    """(what config.json says, the configuration, the tensors)."""
    return built(JSON | request.param)


def built(document):
    config = ConvNextConfig.from_json(document)
    tensors = random_weights(whole_shapes(config), seed=4)
    return document, config, scattered(tensors)


@example
@pytest.mark.parametrize(
    "sizes, depths, parameters",
    [
        ((96, 192, 384, 768), (3, 3, 9, 3), 28_589_128),
        ((96, 192, 384, 768), (3, 3, 27, 3), 50_223_688),
        ((128, 256, 512, 1024), (3, 3, 27, 3), 88_591_464),
    ],
)
def test_expected_shapes_count_the_published_parameters(sizes, depths, parameters):
    """ConvNeXt-T, S and B with a thousand labels."""
    config = ConvNextConfig(hidden_sizes=sizes, depths=depths)
    shapes = whole_shapes(config, 1000).values()
    assert sum(int(np.prod(shape)) for shape in shapes) == parameters


@example
def test_feature_pyramid_halves_from_stage_to_stage():
    """Patches of 4, then halves: steps of 4, 8, 16 and 32; broken patches are lost."""
    config = ConvNextConfig(hidden_sizes=(4, 8, 12, 16), depths=(1, 1, 1, 1))
    weights = Weights(random_weights(convnext.expected_shapes(config)))
    maps = convnext.feature_pyramid(np.zeros((1, 3, 67, 96)), weights, config)
    assert [x.shape[1:] for x in maps] == [
        (4, 16, 24),
        (8, 8, 12),
        (12, 4, 6),
        (16, 2, 3),
    ]


@law
def test_layer_scale_of_zero_is_a_tower_of_downsamplings_alone(tiny):
    """At scale 0 a block is the identity: the branch is gone, whatever it says."""
    _, config, tensors = tiny
    if not config.has_layer_scale:
        assert not any("layer_scale" in name for name in tensors)
        return
    silent = {n: a * 0 if "layer_scale" in n else a for n, a in tensors.items()}
    maps = convnext.stages(PIXELS, Weights(silent).scope("convnext"), config)
    (_, embedded), (_, first), *_ = maps
    np.testing.assert_array_equal(embedded, first)


@law
def test_logits_of_a_picture_do_not_depend_on_the_others(tiny):
    """No norm looks at the batch."""
    _, config, tensors = tiny
    together = convnext.logits(PIXELS, Weights(tensors), config)
    assert_close(convnext.logits(PIXELS[1:], Weights(tensors), config), together[1:])


@law
def test_training_drops_whole_branches():
    """With a rate, a tower that learns is another one each time; at rest it is not."""
    _, config, tensors = built(JSON | KINDS["three stages"] | {"drop_path_rate": 0.5})
    assert config.drop_rates() == [[0.0], [0.5 / 3, 1 / 3], [0.5]]
    weights = Weights(tensors)
    rest = convnext.logits(PIXELS, weights, config)
    noisy = convnext.logits(PIXELS, weights, config, Training(np.random.default_rng(0)))
    assert np.abs(noisy - rest).max() > 1e-2


@oracle
def test_convnext_equals_transformers(compare, tiny):
    """Logits, pooled features and every map, of odd sizes, in both dtypes."""
    document, config, tensors = tiny

    def ask(torch):
        return answers_of(torch, "ConvNext", document, tensors, PIXELS)

    answers = compare.answers(ask, (document, tensors, PIXELS))
    assert answers["logits"].std() > 0.1 and answers["pooled"].std() > 0.1
    for cast in (lambda tensors: tensors, single):
        weights, (pixels,) = Weights(cast(tensors)), cast({"x": PIXELS}).values()
        tower = weights.scope("convnext")
        tolerance = 1e-12 if pixels.dtype == np.float64 else 1e-5
        expected = {n: a.astype(pixels.dtype) for n, a in answers.items()}
        maps = [x for _, x in convnext.stages(pixels, tower, config)]
        assert len(maps) == len(answers) - 2
        for i, seen in enumerate(maps):
            assert_close(seen, expected[f"map {i}"], tolerance)
        seen = convnext.features(pixels, tower, config)
        pooled = convnext.pooled(seen, tower.scope("layernorm"), config)
        assert_close(pooled, expected["pooled"], tolerance)
        logits = convnext.logits(pixels, weights, config)
        assert_close(logits, expected["logits"], tolerance)


@derivative
def test_convnext_derivative_equals_transformers(compare):
    """The gradient of every weight, layer scales included."""
    document, config, tensors = built(JSON | KINDS["three stages"])

    def ask(torch):
        found = gradients_of(torch, "ConvNext", document, tensors, PIXELS)
        return {"gradients": see_through(found)}

    answers = compare.answers(ask, (document, tensors, PIXELS), 1e-9)

    def loss(weights):
        return (convnext.logits(PIXELS, weights, config) ** 2).sum()

    _, gradients = value_and_grad(loss)(Weights(tensors))
    assert_seen_alike(see_through(gradients), answers["gradients"])


@contract
@pytest.mark.parametrize(
    "change, message",
    [
        ({"hidden_act": "relu"}, "hidden_act is 'relu'"),
        ({"num_channels": 1}, "num_channels is 1"),
        ({"num_stages": 4}, "num_stages is 4, but only 3"),
        ({"hidden_sizes": [8, 16]}, "hidden_sizes must be a list of 3"),
        ({"depths": "323"}, "depths must be a list of from 1 to 64"),
        ({"depths": [1, 2000, 1]}, "depths must be a whole number from 1 to 1024"),
        ({"patch_size": [4, 4]}, "patch_size must be a whole number"),
        ({"layer_norm_eps": 0}, "layer_norm_eps must be a number above 0"),
        ({"layer_scale_init_value": None}, "layer_scale_init_value must be a number"),
        ({"drop_path_rate": 2}, "drop_path_rate must be a number"),
        ({"model_type": "convnextv2"}, "model_type is 'convnextv2'"),
    ],
)
def test_convnext_config_refuses_what_it_cannot_build(change, message):
    """A configuration that means another model is an error, not another answer."""
    with pytest.raises(ConfigError, match=message):
        ConvNextConfig.from_json(JSON | KINDS["three stages"] | change)


@contract
def test_convnext_refuses_what_is_no_picture():
    """A grey one, and one without a batch."""
    _, config, tensors = built(JSON | KINDS["three stages"])
    for pixels in (PIXELS[:, :1], PIXELS[0]):
        with pytest.raises(ShapeError, match="pixels"):
            convnext.logits(pixels, Weights(tensors), config)
