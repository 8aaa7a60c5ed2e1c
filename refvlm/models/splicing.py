r"""Splicing: a picture becomes a stretch of tokens among the text's.

    ids         7  8  -200              9   one `IMAGE` for each picture
    make_room   7  8  -200  -200  -200  9   one for each of its tokens
    splice      E7 E8  z_1   z_2   z_3  E9  embeddings, the picture's in their places

To the decoder they are tokens like any other. FastVLM, LLaVA and BLIP-2 all join the
two this way. Source: [Kamath], the language model; [Liu2023]. Oracle: transformers'
masked_scatter of image features.
"""

from __future__ import annotations

import numpy as np

from ..blocks import tables
from ..checkpoint import Weights
from ..shapes import ShapeError, shapes

IMAGE = -200  # where the picture goes, in ids that have one place for all of it


def make_room(input_ids, tokens: int, attention_mask=None):
    """One `IMAGE` for each picture becomes `tokens` of them, side by side.

    Returns ids and mask (None stays None) of the longer sequence. Every row needs the
    same number of pictures, or the batch would not be a rectangle.

    >>> make_room(np.array([[1, IMAGE, 2]]), 3)[0]
    array([[   1, -200, -200, -200,    2]])
    """
    marked = input_ids == IMAGE
    pictures = marked.sum(axis=1)
    if not pictures.any():
        return input_ids, attention_mask
    if (pictures != pictures[0]).any():
        raise ShapeError(
            f"the rows of input_ids have {pictures.tolist()} pictures; a batch needs "
            "the same number in each"
        )
    repeats = np.where(marked, tokens, 1)

    def stretch(rows):
        return np.stack([np.repeat(r, n) for r, n in zip(rows, repeats)])

    mask = None if attention_mask is None else stretch(attention_mask)
    return stretch(input_ids), mask


def image_places(input_ids, image_token_id: int | None):
    """Where the ids leave place for image tokens: at `IMAGE`, and at the image token
    of the checkpoint, where it has one."""
    places = input_ids == IMAGE
    if image_token_id is not None:
        places = places | (input_ids == image_token_id)
    return places


@shapes(input_ids="b t of integers", image="n m h or None")
def splice(
    input_ids, image, weights: Weights, embedding: str, image_token_id: int | None
):
    """Ids to embeddings, with the image's tokens spliced in where the ids mark them.

    input_ids (b, t); image (n, m, hidden) or None; the result (b, t, hidden). The
    marks are `IMAGE` or the checkpoint's image token, one for each image token; the
    number of marks must be n m. `embedding` names the table among the weights.
    """
    marks = image_places(input_ids, image_token_id)
    spaces = int(marks.sum())
    tokens = 0 if image is None else image.shape[0] * image.shape[1]
    if spaces != tokens:
        raise ShapeError(
            f"input_ids marks {spaces} places for image tokens, but the pictures make "
            f"{tokens}"
        )
    words = np.where(input_ids == IMAGE, 0, input_ids)
    text = tables.look_up(words, weights, embedding)
    if image is None:
        return text
    flat = image.reshape(tokens, -1)
    order = np.where(marks, np.cumsum(marks).reshape(marks.shape) - 1, 0)
    return np.where(marks[..., None], flat[order], text)
