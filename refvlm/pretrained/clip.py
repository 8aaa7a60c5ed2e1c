"""Two towers that share a space: `clip = refvlm.load("weights/clip-tiny")`.

    texts = ["a red ring.", "a blue star."]
    clip.image_features(["photo.jpg"])         # (1, d), each row of length one
    clip.text_features(texts)                  # (2, d)
    clip.similarity(["photo.jpg"], texts)      # their cosines, (1, 2)
    clip.probabilities(["photo.jpg"], texts)   # if one of the texts is right

The directory is Hugging Face's: config.json, safetensors, tokenizer.json (or vocab.json
with merges.txt) and preprocessor_config.json. `pretrained.save` writes one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from .. import checkpoint, image, ops, text
from ..arguments import several
from ..models import clip, fields
from ..models.clip_config import CLIPConfig
from ..quantize import formats
from ..shapes import ShapeError
from .preprocessing import read_steps

# Tensors that a published file may hold and no feature depends on.
UNUSED = ("*.position_ids",)
LARGEST_LOG_SCALE = 20  # CLIP's own bound is log 100, below 5
AT_ONCE = 64  # pictures or texts in one batch: more do not go faster, and need memory


class CLIP:
    """Two towers with their weights, and the tokenizer and preprocessor beside them."""

    def __init__(self, config: CLIPConfig, weights, directory=None):
        self.config, self.weights, self.directory = config, weights, directory

    @classmethod
    def open(cls, directory: Path, document: dict[str, Any], dtype=np.float32) -> CLIP:
        """The model of a directory whose config.json says `document`."""
        build = CLIPConfig.from_json
        config = fields.built(directory / "config.json", document, build)
        weights = formats.load(directory, document, dtype)
        checkpoint.expect(weights, clip.expected_shapes(config), ignore=UNUSED)
        return cls(config, weights, directory)

    @cached_property
    def tokenizer(self) -> text.Tokenizer:
        """The tokenizer, by the directory's own files."""
        return text.load_tokenizer(self.directory)

    @cached_property
    def preprocessor(self) -> image.Preprocessor:
        """The steps from a picture to pixel values, by the directory's own files."""
        return read_steps(self.directory)

    @property
    def temperature(self) -> float:
        r"""$\tau = e^{-\theta}$: cosines are divided by it before a softmax."""
        scale = np.float64(self.weights[clip.LOGIT_SCALE])
        if not abs(scale) < LARGEST_LOG_SCALE:
            raise checkpoint.CheckpointError(
                f"{self.weights.origin}: {clip.LOGIT_SCALE} is {scale:.4g}: the "
                "weights are damaged"
            )
        return float(np.exp(-scale))

    @property
    def dtype(self) -> np.dtype:
        """The precision that the towers compute in."""
        return self.weights[clip.VISUAL_PROJECTION].dtype

    def image_features(self, pictures: Sequence) -> np.ndarray:
        """A direction for each picture: paths, streams, bytes or arrays -> (n, d)."""
        pictures = some("image_features", "pictures", pictures)

        def features(batch):
            pixels = self.preprocessor.batch(batch).astype(self.dtype, copy=False)
            return clip.image_features(pixels, self.weights, self.config)

        return directions(pictures, features, self.weights.origin)

    def text_features(self, texts: Sequence[str]) -> np.ndarray:
        """A direction for each text, (n, d)."""
        rows = [self.token_ids(one) for one in some("text_features", "texts", texts)]

        def features(batch):
            return clip.text_features(clip.padded(batch), self.weights, self.config)

        return directions(rows, features, self.weights.origin)

    def similarity(self, pictures: Sequence, texts: Sequence[str]) -> np.ndarray:
        """The cosine of every picture with every text, (pictures, texts)."""
        return self.image_features(pictures) @ self.text_features(texts).T

    def probabilities(self, pictures: Sequence, texts: Sequence[str]) -> np.ndarray:
        """How likely each text is for each picture, if one of them is right."""
        return ops.softmax(self.similarity(pictures, texts) / self.temperature)

    def token_ids(self, one: str) -> list[int]:
        """A text in the frame that the tokenizer was saved with: start, text, end."""
        if not isinstance(one, str):
            raise ValueError(f"a text is a string, not {type(one).__name__}")
        before, after = self.tokenizer.frame
        ids = [*before, *self.tokenizer.encode(one, markers=False), *after]
        tower = self.config.text
        room = tower.max_position_embeddings
        if len(ids) > room:
            raise ShapeError(
                f"a text of {len(ids)} tokens is too long for this model, which reads "
                f"{room}: shorten it"
            )
        vocabulary = tower.vocab_size
        if max(ids, default=0) >= vocabulary:
            raise text.TokenizerError(
                f"{self.directory}: the tokenizer makes the id {max(ids)}, but the "
                f"model's vocabulary ends at {vocabulary - 1}: they are of different "
                "checkpoints"
            )
        is_highest, end = tower.ends_with_highest_id, tower.eos_token_id
        if (max(ids, default=0) if is_highest else end) not in after:
            raise text.TokenizerError(
                f"{self.directory}: the tokenizer does not put "
                f"{'the highest id' if is_highest else f'the id {end}'} behind a text, "
                "which this model takes for its end: the files are of different "
                "checkpoints, or tokenizer.json is missing"
            )
        return ids


def directions(items, features, origin: str) -> np.ndarray:
    """Features of length one, a batch of items at a time, from weights of `origin`."""
    batches = [items[i : i + AT_ONCE] for i in range(0, len(items), AT_ONCE)]
    with np.errstate(all="ignore"):  # what is not finite is refused
        parts = [ops.normalize(features(batch), dim=-1) for batch in batches]
    out = np.concatenate(parts)
    if not np.isfinite(out).all():
        raise checkpoint.CheckpointError(
            f"{origin}: the features are not finite numbers: the weights are damaged, "
            f"or too large for {out.dtype}"
        )
    return out


def some(function, name, items):
    """A list that is not empty."""
    items = several(function, name, items)
    if not items:
        raise ValueError(f"{function}: {name} is empty: give at least one")
    return items
