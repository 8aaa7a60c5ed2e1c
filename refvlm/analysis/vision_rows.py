r"""A vision transformer as rows of a table: what each stage puts out, and its cost.

Of $t$ tokens of width $d$, with a feed-forward network of width $m$, a block costs
$2t(4d^2 + 2dm)$ FLOPs for its matrices and $4t^2d$ for its attention.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ..models import fields, vision_models, vit
from ..models.vit_config import ViTConfig
from .rows import Row, size_of


class Described(NamedTuple):
    """A configuration, how many heads there are, and how many classes each knows."""

    config: ViTConfig
    heads: int
    labels: int

    @classmethod
    def from_json(cls, document: Mapping) -> Described:
        """From a parsed config.json, whose `architectures` say what it is."""
        config = ViTConfig.from_json(document)
        named = vision_models.labels_of(document)
        kinds = document.get("architectures")
        if kinds is not None and "ForImageClassification" not in str(kinds):
            return cls(config, 0, 0)
        count = fields.whole(document, "num_labels", 2) if named is None else len(named)
        return cls(config, 2 if "WithTeacher" in str(kinds) else 1, count)


def vit_rows(
    described: Described, height: int, width: int, prompt_tokens: int = 0
) -> list[Row]:
    """The rows of a ViT for one picture, from pixels to logits."""
    config, heads, labels = described
    hidden, inner, patch = (
        config.hidden_size,
        config.intermediate_size,
        config.patch_size,
    )
    rows, columns = height // patch, width // patch
    patches, tokens = rows * columns, rows * columns + config.prefix
    shapes = vit.expected_shapes(config)

    def numbers(*beginnings):
        return size_of(s for n, s in shapes.items() if n.startswith(beginnings))

    count = config.num_hidden_layers
    products = 2 * tokens * (4 * hidden**2 + 2 * hidden * inner)
    attention = 4 * tokens**2 * hidden
    seen = (1, tokens, hidden)
    head = heads * labels
    return [
        Row("pixels", (1, 3, height, width), 0, 0),
        Row(
            "patches",
            (1, patches, hidden),
            numbers(vit.PATCHES),
            2 * patches * hidden * 3 * patch**2,
        ),
        Row(
            "class, positions",
            seen,
            numbers("embeddings.") - numbers(vit.PATCHES),
            0,
        ),
        Row(
            f"layers.0-{count - 1}",
            seen,
            numbers("encoder."),
            count * (products + attention),
        ),
        Row("norm", seen, numbers("layernorm."), 0),
        *[Row("head", (1, labels), head * (hidden + 1), 2 * head * hidden)][:heads],
    ]
