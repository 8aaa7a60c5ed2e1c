"""A model that judges whether a text goes with a picture: `refvlm.load("blip-itm")`.

    texts = ["a red ring.", "a blue star."]
    blip.matching(["photo.jpg"], texts)        # how likely each goes with it, (1, 2)
    blip.similarity(["photo.jpg"], texts)      # cosines of the two apart, (1, 2)

`similarity` reads each text once and looks at each picture once; `matching` lets every
word look at every patch, once for each pair: it is the finer judge of the few that the
first has found. The directory is Hugging Face's, as BlipForImageTextRetrieval and its
processor write it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from .. import checkpoint, image, ops, text
from ..models import blip, fields
from ..models.blip_config import BlipConfig
from ..quantize import formats
from ..shapes import ShapeError
from .clip import AT_ONCE, directions, some
from .preprocessing import read_steps

UNUSED = ("*.position_ids",)


class Matcher:
    """BLIP's judge with its weights, and the tokenizer and preprocessor beside them."""

    def __init__(self, config: BlipConfig, weights, directory=None):
        self.config, self.weights, self.directory = config, weights, directory

    @classmethod
    def open(
        cls, directory: Path, document: dict[str, Any], dtype=np.float32
    ) -> Matcher:
        """The model of a directory whose config.json says `document`."""
        build = BlipConfig.from_json
        config = fields.built(directory / "config.json", document, build)
        weights = formats.load(directory, document, dtype)
        checkpoint.expect(weights, blip.matching_shapes(config), ignore=UNUSED)
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
    def dtype(self) -> np.dtype:
        """The precision that the model computes in."""
        return self.weights[f"{blip.JUDGE}.weight"].dtype

    def matching(self, pictures: Sequence, texts: Sequence[str]) -> np.ndarray:
        """How likely each text goes with each picture, (pictures, texts).

        Every pair is judged by itself: of several texts all may go, or none.
        """
        pictures = some("matching", "pictures", pictures)
        rows = [self.token_ids(one) for one in some("matching", "texts", texts)]
        likely = np.empty((len(pictures), len(rows)), self.dtype)
        for i, picture in enumerate(pictures):
            seen = self._look([picture])
            for start in range(0, len(rows), AT_ONCE):
                batch = slice(start, start + AT_ONCE)
                likely[i, batch] = self._judge(seen, rows[batch])
        return likely

    def similarity(self, pictures: Sequence, texts: Sequence[str]) -> np.ndarray:
        """The cosine of every picture with every text, (pictures, texts)."""
        return self.image_features(pictures) @ self.text_features(texts).T

    def image_features(self, pictures: Sequence) -> np.ndarray:
        """A direction for each picture: paths, streams, bytes or arrays -> (n, d)."""
        pictures = some("image_features", "pictures", pictures)

        def features(batch):
            return blip.image_features(self._look(batch), self.weights)

        return directions(pictures, features, self.weights.origin)

    def text_features(self, texts: Sequence[str]) -> np.ndarray:
        """A direction for each text, (n, d)."""
        rows = [self.token_ids(one) for one in some("text_features", "texts", texts)]

        def features(batch):
            ids, mask = padded(batch)
            return blip.text_features(ids, self.weights, self.config, mask)

        return directions(rows, features, self.weights.origin)

    def token_ids(self, one: str) -> list[int]:
        """A text in its frame: [CLS], whose token judges, the text, [SEP]."""
        if not isinstance(one, str):
            raise ValueError(f"a text is a string, not {type(one).__name__}")
        before, after = self.tokenizer.frame
        ids = [*before, *self.tokenizer.encode(one, markers=False), *after]
        reader = self.config.text
        if len(ids) > reader.context:
            raise ShapeError(
                f"a text of {len(ids)} tokens is too long for this model, which reads "
                f"{reader.context}: shorten it"
            )
        if max(ids, default=0) >= reader.vocab_size:
            raise text.TokenizerError(
                f"{self.directory}: the tokenizer makes the id {max(ids)}, but the "
                f"model's vocabulary ends at {reader.vocab_size - 1}: they are of "
                "different checkpoints"
            )
        if not before or reader.sep_token_id not in after:
            raise text.TokenizerError(
                f"{self.directory}: the tokenizer does not put a text between [CLS] "
                f"and [SEP], the id {reader.sep_token_id}: the files are of different "
                "checkpoints"
            )
        return ids

    def _look(self, pictures):
        """What the tower hands on of them, (n, m, width)."""
        pixels = self.preprocessor.batch(pictures).astype(self.dtype, copy=False)
        with np.errstate(all="ignore"):  # what is not finite is refused
            return blip.encode_image(pixels, self.weights, self.config)

    def _judge(self, seen, rows):
        """The probability of yes for each of the texts, with one picture."""
        ids, mask = padded(rows)
        with np.errstate(all="ignore"):
            scores = blip.match_scores(seen, ids, self.weights, self.config, mask)
        if not np.isfinite(scores).all():
            raise checkpoint.CheckpointError(
                f"{self.weights.origin}: the scores are not finite numbers: the "
                f"weights are damaged, or too large for {scores.dtype}"
            )
        return ops.softmax(scores)[:, blip.MATCH]


def padded(rows: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    """(ids, mask), (n, longest) each: the mask is False behind the end of a text.

    >>> padded([[2, 7, 3], [2, 3]])[1].astype(int)
    array([[1, 1, 1],
           [1, 1, 0]])
    """
    longest = max(map(len, rows))
    ids = np.array([[*row, *[row[-1]] * (longest - len(row))] for row in rows])
    lengths = np.array([len(row) for row in rows])
    return ids, np.arange(longest) < lengths[:, None]
