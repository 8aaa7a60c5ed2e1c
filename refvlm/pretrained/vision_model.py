"""A tower that classifies: `model = refvlm.load("vit-base-patch16-224")`.

    model.classify("photo.jpg")           # [("tabby cat", 0.87), ...], five of them
    pixels = model.preprocessor.batch(["photo.jpg"])
    model.logits(pixels)                  # (1, labels)
    model.features(pixels)                # what the head reads from: tokens, or maps

The directory is Hugging Face's: config.json, safetensors and preprocessor_config.json;
or timm's, whose config.json says all three things. Which families there are is the
table of `models/vision_models.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from .. import checkpoint, image, ops
from ..arguments import check_whole
from ..autodiff import value_of
from ..checkpoint import CheckpointError, Weights
from ..models import fields, vision_models
from ..models.vision_models import VISION_MODELS, VisionFamily
from ..models.vlm_inputs import check_pixels
from ..quantize import formats
from .preprocessing import read_steps


class VisionModel:
    """A tower and its head with their weights, the names of the classes, and the
    preprocessor beside them."""

    def __init__(
        self,
        family: VisionFamily,
        config,
        weights: Weights,
        head: str | None = None,
        labels: list[str] | None = None,
        directory=None,
        problem: str | None = None,
    ):
        self.family, self.config, self.weights = family, config, weights
        self.head, self.labels, self.directory = head, labels or [], directory
        self.problem = problem

    @classmethod
    def open(
        cls, directory: Path, document: Mapping[str, Any], dtype=np.float32
    ) -> VisionModel:
        """The model of a directory whose config.json says `document`."""
        path = directory / "config.json"
        # The files hold what the document itself says of them, in fewer bits say.
        weights = formats.load(directory, dict(document), dtype)
        document = fields.built(path, document, vision_models.spelled)
        family = VISION_MODELS[document["model_type"]]
        config = fields.built(path, document, family.config)
        labels = fields.built(path, document, vision_models.labels_of)
        weights = family.canonical(weights)
        head = family.head_of(weights, document)
        problem = fields.built(path, document, vision_models.problem_of)
        names = vision_models.named_by(document)
        rows = _rows(weights, head, labels, names)
        expected = family.expected_shapes(config, head, rows)
        checkpoint.expect(weights, expected, ignore=family.ignore)
        with np.errstate(all="ignore"):  # what is not finite is refused
            weights = family.prepare(weights, config)
        if head is not None and labels is None:
            labels = [f"LABEL_{i}" for i in range(rows)]
        return cls(family, config, weights, head, labels, directory, problem)

    @cached_property
    def preprocessor(self) -> image.Preprocessor:
        """The steps from a picture to pixel values, by the directory's own files."""
        return read_steps(self.directory)

    @property
    def dtype(self) -> np.dtype:
        """The precision that it computes in."""
        tower = self.weights.scope(self.family.scope)
        # a matrix may be kept in few bits, a vector never is
        vector = next(n for n, shape in tower.shapes().items() if len(shape) == 1)
        return tower[vector].dtype

    def features(self, pixel_values, **options):
        """What the head reads from: a ViT's tokens (b, 1 + patches, d), with its last
        norm on them; a convolutional network's maps (b, c, h, w).

        `options` are the family's: a ViT takes `interpolate=True` for pictures of
        another size than those it learnt from.
        """
        pixels = check_pixels(pixel_values, self.dtype, face="model")
        tower = self.weights.scope(self.family.scope)
        with np.errstate(all="ignore"):  # what is not finite is refused
            seen = self.family.features(pixels, tower, self.config, **options)
        return self._finite("features", seen)

    def logits(self, pixel_values, **options):
        """A score for each class: pixel values (b, 3, h, w) -> (b, labels)."""
        if self.head is None:
            raise ValueError(
                f"{self.weights.origin} has no head that classifies: it holds a tower "
                "alone, whose features(pixel_values) are what it gives"
            )
        seen = self.features(pixel_values, **options)
        head = self.family.heads[self.head]
        with np.errstate(all="ignore"):
            return self._finite("scores", head.logits(seen, self.weights, self.config))

    def classify(self, picture, top: int = 5, **options) -> list[tuple[str, float]]:
        """The likeliest classes of a picture (a path, a stream, bytes or an array) with
        their probabilities, the best first.

        The probabilities of several labels sum to 1, unless the checkpoint says that
        each is a question of its own; a single label always is one.
        """
        check_whole("classify", least=1, top=top)
        if self.problem == vision_models.REGRESSION:
            raise ValueError(
                f"{self.weights.origin} has a head that classifies nothing: "
                "problem_type is 'regression' in config.json, and its numbers are "
                "logits(pixel_values)"
            )
        scores = self.logits(self.preprocessor(picture)[None], **options)[0]
        alone = self.problem == vision_models.MULTI_LABEL or len(scores) == 1
        likely = (ops.sigmoid if alone else ops.softmax)(scores.astype(np.float64))
        best = np.argsort(-likely, kind="stable")[:top]
        return [(self.labels[i], float(likely[i])) for i in best]

    def _finite(self, what, numbers):
        if not np.isfinite(value_of(numbers)).all():
            raise CheckpointError(
                f"{self.weights.origin}: the {what} are not finite numbers: the "
                f"weights are damaged, or too large for {self.dtype}"
            )
        return numbers


def _rows(weights, head, labels, names):
    """How many classes there are, if head and labels agree."""
    name = f"{head}.weight"
    if head is None or name not in weights:
        return len(labels or ())
    shape = weights.tensor(name).shape
    rows = shape[0] if shape else 0
    if labels is not None and len(labels) != rows:
        raise CheckpointError(
            f"{weights.origin}: {name} has {rows} rows, but {names} in config.json "
            f"names {len(labels)} classes: they are of different checkpoints"
        )
    return rows
