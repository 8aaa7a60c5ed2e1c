"""The spec of refvlm/models/backbone_dialects.py."""

import numpy as np
import pytest

from refvlm.checkpoint import Weights, expect
from refvlm.models import backbone_dialects, convnext, resnet
from refvlm.models.convnext import ConvNextConfig
from refvlm.models.resnet import ResNetConfig

from ..backbones import filled, scattered
from ..oracles import import_torchvision
from ..spec import assert_close, example, law, oracle, random_arrays
from ..weights import random_weights
from .test_convnext import whole_shapes as convnext_shapes
from .test_resnet import whole_shapes as resnet_shapes

PIXELS = random_arrays(8)(1, 3, 64, 64)
RESNETS = {
    "basic": ResNetConfig(64, (8, 10, 12, 16), (2, 1, 1, 1), "basic"),
    "bottleneck": ResNetConfig(64, (8, 16, 24, 32), (1, 2, 1, 1)),
}
CONVNEXT = ConvNextConfig(4, (4, 8, 12, 16), (1, 2, 1, 1), 1e-6)


@example
@pytest.mark.parametrize(
    "theirs, ours",
    [
        ("conv1.weight", "resnet.embedder.embedder.convolution.weight"),
        ("bn1.bias", "resnet.embedder.embedder.normalization.bias"),
        (
            "layer2.0.downsample.1.running_var",
            "resnet.encoder.stages.1.layers.0.shortcut.normalization.running_var",
        ),
        (
            "layer4.11.conv3.weight",
            "resnet.encoder.stages.3.layers.11.layer.2.convolution.weight",
        ),
        ("fc.weight", "classifier.1.weight"),
    ],
)
def test_resnet_names_of_timm_are_read(theirs, ours):
    """Stages count from 0 here, and so do the layers of a block."""
    weights = Weights({"conv1.weight": np.zeros(1), theirs: np.ones(2)})
    assert ours in backbone_dialects.resnet(weights)


@example
@pytest.mark.parametrize(
    "theirs, ours",
    [
        ("stem.0.weight", "convnext.embeddings.patch_embeddings.weight"),
        ("stages.1.downsample.0.bias", "encoder.stages.1.downsampling_layer.0.bias"),
        ("stages.2.blocks.7.norm.bias", "encoder.stages.2.layers.7.layernorm.bias"),
        ("stages.0.blocks.1.mlp.fc2.bias", "encoder.stages.0.layers.1.pwconv2.bias"),
        ("head.norm.weight", "convnext.layernorm.weight"),
        ("downsample_layers.0.1.bias", "convnext.embeddings.layernorm.bias"),
        ("downsample_layers.3.1.bias", "encoder.stages.3.downsampling_layer.1.bias"),
        ("stages.0.1.pwconv1.bias", "encoder.stages.0.layers.1.pwconv1.bias"),
        ("stages.0.1.gamma", "encoder.stages.0.layers.1.layer_scale_parameter"),
        ("norm.bias", "convnext.layernorm.bias"),
        ("head.bias", "classifier.bias"),
    ],
)
def test_convnext_names_of_timm_and_meta_are_read(theirs, ours):
    """Two dialects that differ in a word here and there."""
    meta = "stem" not in theirs and ".blocks." not in theirs and "head.n" not in theirs
    first = "downsample_layers.0.0.weight" if meta else "stem.0.weight"
    weights = Weights({first: np.zeros(1), theirs: np.ones(2)})
    assert any(name.endswith(ours) for name in backbone_dialects.convnext(weights))


@law
def test_a_tower_without_its_classifier_is_put_in_its_place():
    """ResNetModel and ConvNextModel are saved without a prefix."""
    for module, dialect, config in (
        (resnet, backbone_dialects.resnet, ResNetConfig()),
        (convnext, backbone_dialects.convnext, ConvNextConfig()),
    ):
        shapes = module.expected_shapes(config)
        alone = Weights({name: np.empty(shape) for name, shape in shapes.items()})
        whole = dialect(alone)
        expect(whole.scope(module.TOWER), shapes)
        assert set(dialect(whole)) == set(whole)


@oracle
@pytest.mark.parametrize("kind", RESNETS)
def test_resnet_equals_timm_by_its_names(compare, kind):
    """The same logits from timm's own tensors, which torchvision's ResNet shares."""
    config = RESNETS[kind]
    theirs = random_weights(timm_resnet_shapes(config))

    def ask(torch):
        import_torchvision()
        from timm.models import resnet as peers

        block = {"basic": peers.BasicBlock, "bottleneck": peers.Bottleneck}[kind]
        channels = [c // block.expansion for c in config.hidden_sizes]
        model = peers.ResNet(block, list(config.depths), 4, channels=channels)
        model = filled(torch, model, theirs)
        return {"logits": model(torch.from_numpy(PIXELS.copy())).detach().numpy()}

    answers = compare.answers(ask, (theirs, PIXELS))
    weights = backbone_dialects.resnet(Weights(theirs))
    expect(weights, resnet_shapes(config, 4))
    assert answers["logits"].std() > 0.1
    assert_close(resnet.logits(PIXELS, weights, config), answers["logits"])


@oracle
def test_convnext_equals_timm_by_its_names(compare):
    """The same logits from timm's own tensors."""
    ours = scattered(random_weights(convnext_shapes(CONVNEXT, 5)))
    theirs = {timm_name(name): array for name, array in ours.items()}

    def ask(torch):
        import_torchvision()
        from timm.models.convnext import ConvNeXt

        model = ConvNeXt(
            num_classes=5, depths=CONVNEXT.depths, dims=CONVNEXT.hidden_sizes
        )
        model = filled(torch, model, theirs)
        return {"logits": model(torch.from_numpy(PIXELS.copy())).detach().numpy()}

    answers = compare.answers(ask, (theirs, PIXELS))
    weights = backbone_dialects.convnext(Weights(theirs))
    expect(weights, convnext_shapes(CONVNEXT, 5))
    assert answers["logits"].std() > 0.1
    assert_close(convnext.logits(PIXELS, weights, CONVNEXT), answers["logits"])


def timm_name(name):
    """timm's name of a tensor that transformers calls `name`."""
    for ours, theirs in (
        ("convnext.embeddings.patch_embeddings", "stem.0"),
        ("convnext.embeddings.layernorm", "stem.1"),
        ("convnext.layernorm", "head.norm"),
        ("classifier", "head.fc"),
        ("convnext.encoder.", ""),
        ("downsampling_layer", "downsample"),
        ("layers", "blocks"),
        ("dwconv", "conv_dw"),
        ("layernorm", "norm"),
        ("pwconv", "mlp.fc"),
        ("layer_scale_parameter", "gamma"),
    ):
        name = name.replace(ours, theirs)
    return name


def timm_resnet_shapes(config):
    """name -> shape as timm has them."""
    named = {}
    for name, shape in resnet_shapes(config, 4).items():
        for ours, theirs in (
            ("resnet.embedder.embedder.convolution", "conv1"),
            ("resnet.embedder.embedder.normalization", "bn1"),
            ("classifier.1", "fc"),
            ("shortcut.convolution", "downsample.0"),
            ("shortcut.normalization", "downsample.1"),
            *((f"resnet.encoder.stages.{i}.layers", f"layer{i + 1}") for i in range(4)),
            *((f"layer.{i}.convolution", f"conv{i + 1}") for i in range(3)),
            *((f"layer.{i}.normalization", f"bn{i + 1}") for i in range(3)),
        ):
            name = name.replace(ours, theirs)
        named[name] = shape
    return named
