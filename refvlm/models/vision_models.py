r"""The towers that classify, in one table: what differs between them.

    family = VISION_MODELS["vit"]
    config = family.config(document)
    seen = family.features(pixels, weights.scope(family.scope), config)
    logits = family.heads["classifier"].logits(seen, weights, config)

Features are what a family hands on before its head: tokens (b, t, d), or maps (b, c, h,
w). The keys are what config.json calls `model_type`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from ..blocks.transformer import linear
from ..checkpoint import Weights
from . import backbone_dialects, convnext, fields, resnet, vit, vit_names
from .convnext import ConvNextConfig
from .dialects import unchanged
from .resnet import ResNetConfig
from .vit_config import ViTConfig

REGRESSION, MULTI_LABEL = "regression", "multi_label_classification"
PROBLEMS = REGRESSION, "single_label_classification", MULTI_LABEL
NAMES = "id2label", "label2id", "label_names"


class Head(NamedTuple):
    """`shapes(config, labels)` are its tensors by their full names, `logits(features,
    weights, config)` what it makes of features: (b, labels)."""

    shapes: Callable[[Any, int], dict[str, tuple[int, ...]]]
    logits: Callable


class VisionFamily(NamedTuple):
    """A family: its configuration, its tower under `scope`, and its heads, of which a
    checkpoint holds that whose `<key>.weight` it has, or none.

    `canonical(weights)` gives weights their names, whichever of its published ones they
    came in, `prepare(weights, config)` what inference alone wants of them; `ignore` are
    patterns of tensors that no answer depends on.
    """

    config: Callable[[Mapping], Any]
    shapes: Callable[[Any], dict[str, tuple[int, ...]]]
    scope: str
    features: Callable
    heads: Mapping[str, Head]
    canonical: Callable[[Weights], Weights] = unchanged
    prepare: Callable[[Weights, Any], Weights] = unchanged
    ignore: tuple[str, ...] = ()

    def head_of(self, weights: Weights, document: Mapping) -> str | None:
        """The key of the head that a checkpoint has, or should have; None for a tower
        alone."""
        for key in self.heads:
            if f"{key}.weight" in weights:
                return key
        classifies = "ForImageClassification" in str(document.get("architectures"))
        return next(iter(self.heads)) if classifies else None

    def expected_shapes(self, config, head: str | None, labels: int):
        """Every tensor of a checkpoint by its full name."""
        tower = {f"{self.scope}.{n}": s for n, s in self.shapes(config).items()}
        return tower | (self.heads[head].shapes(config, labels) if head else {})


def linear_heads(*names: str) -> Head:
    r"""The mean of what linear heads say, one of each of the first tokens:
    $\tfrac1m \sum_i (W_i z_i + b_i)$. A ViT has one; a distilled DeiT has another for
    what its teacher said."""

    return Head(partial(_linear_shapes, names), partial(_linear_logits, names))


def _linear_shapes(names, config, labels):
    return {
        **{f"{name}.weight": (labels, config.hidden_size) for name in names},
        **{f"{name}.bias": (labels,) for name in names},
    }


def _linear_logits(names, tokens, weights, config):
    said = [linear(tokens[:, i], weights.scope(n)) for i, n in enumerate(names)]
    return sum(said[1:], start=said[0]) / len(said)


VIT = VisionFamily(
    config=ViTConfig.from_json,
    shapes=vit.expected_shapes,
    scope="vit",
    features=vit.vit,
    heads={"classifier": linear_heads("classifier")},
    canonical=partial(vit_names.canonical, scope="vit"),
    ignore=("vit.pooler.*", "vit.embeddings.mask_token"),
)

VISION_MODELS: dict[str, VisionFamily] = {
    "vit": VIT,
    "deit": VIT._replace(
        scope="deit",
        heads={
            "cls_classifier": linear_heads("cls_classifier", "distillation_classifier"),
            "classifier": linear_heads("classifier"),
        },
        canonical=partial(vit_names.canonical, scope="deit"),
        ignore=("deit.pooler.*", "deit.embeddings.mask_token"),
    ),
    "resnet": VisionFamily(
        config=ResNetConfig.from_json,
        shapes=resnet.expected_shapes,
        scope=resnet.TOWER,
        features=resnet.features,
        heads={resnet.HEAD: Head(resnet.head_shapes, resnet.head_logits)},
        canonical=backbone_dialects.resnet,
        prepare=resnet.prepare,
        ignore=("*.num_batches_tracked",),
    ),
    "convnext": VisionFamily(
        config=ConvNextConfig.from_json,
        shapes=convnext.expected_shapes,
        scope=convnext.TOWER,
        features=convnext.features,
        heads={convnext.HEAD: Head(convnext.head_shapes, convnext.head_logits)},
        canonical=backbone_dialects.convnext,
    ),
}


def spelled(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """A config.json in transformers' words, whichever it came in: timm's has none that
    is called `model_type`, but an `architecture`."""
    if "architecture" not in document or "model_type" in document:
        return document
    known = backbone_dialects.knows(document)
    said = (backbone_dialects if known else vit_names).document_of_timm(document)
    trained = document.get("pretrained_cfg")
    for place in (document, trained if isinstance(trained, Mapping) else {}):
        if place.get("label_names") is not None:
            return {**said, "label_names": place["label_names"]}
    return said


def problem_of(document: Mapping[str, Any]) -> str | None:
    """What kind of question the head answers, or None where config.json is silent."""
    problem = document.get("problem_type")
    if problem not in (None, *PROBLEMS):
        raise fields.ConfigError(
            f"config.json: problem_type is {problem!r:.60}, but must be one of "
            f"{', '.join(PROBLEMS)}"
        )
    return problem


def named_by(document: Mapping[str, Any]) -> str | None:
    """What config.json calls the table of its classes' names, if it has one."""
    return next((key for key in NAMES if document.get(key) is not None), None)


def labels_of(document: Mapping[str, Any]) -> list[str] | None:
    """The names of the classes in their order, or None where config.json has none:
    transformers' `id2label`, or its inverse alone, or timm's `label_names`.

    >>> labels_of({"id2label": {"1": "star", "0": "ring"}})
    ['ring', 'star']
    """
    key = named_by(document)
    if key is None:
        return None
    named = document[key]
    if key == "label_names" and isinstance(named, list):
        named = dict(enumerate(named))  # timm's, in their order
    if not isinstance(named, Mapping):
        raise fields.ConfigError(
            f"config.json: {key} must be an object, not {named!r:.60}"
        )
    pairs = ((i, n) if key != "label2id" else (n, i) for i, n in named.items())
    rows = {str(number): str(name) for number, name in pairs}
    if set(rows) != set(map(str, range(len(named)))):
        raise fields.ConfigError(
            f"config.json: {key} has the {'values' if key == 'label2id' else 'keys'} "
            f"{sorted(rows)!r:.60}, but its {len(named)} labels are numbered from 0 to "
            f"{len(named) - 1}"
        )
    return [rows[str(i)] for i in range(len(rows))]
