r"""A picture of attention: for each word of an answer, where the decoder looked.

The weights that a word's token gave to the picture's tokens are averaged over the
layers and heads, laid out as the grid that the tokens came from, and lit up on the
picture: dark where nothing was taken, clear where most was. Each small picture is
scaled to its own largest weight, so read where it is bright, not how bright it is.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..pretrained import VLM

TILE, MARGIN, LINE, COLUMNS = 160, 10, 20, 5
DARKEST = 0.15
PAPER, INK = (255, 255, 255), (40, 40, 40)


def attention_picture(vlm: VLM, picture, prompt: str, answer: list[int]) -> Image.Image:
    """Where the decoder of a model looked: a tile for each word of its answer.

    The picture is any that `describe` takes; `answer` is the ids that the model said.
    """
    pieces = [vlm.tokenizer.decode([token], markers=False) for token in answer]
    words = words_of(pieces)
    maps = vlm.attention(picture, prompt, answer)
    maps = np.array([maps[tokens].mean(axis=0) for _, tokens in words])
    shown = vlm.preprocessor.frame(vlm.read(picture))
    return attention_sheet(shown, [word for word, _ in words], maps)


def words_of(pieces: list[str]) -> list[tuple[str, list[int]]]:
    """Tokens joined into words: (word, numbers of its tokens), spaces and signs apart.

    >>> words_of(["a", " red", " ci", "rcle", "."])
    [('a', [0]), ('red', [1]), ('circle', [2, 3])]
    """
    words: list[tuple[str, list[int]]] = []
    for number, piece in enumerate(pieces):
        if not any(map(str.isalnum, piece)):
            continue
        if words and not piece[0].isspace() and words[-1][1][-1] == number - 1:
            words[-1] = (words[-1][0] + piece, [*words[-1][1], number])
        else:
            words.append((piece.strip(), [number]))
    return words


def attention_sheet(
    picture: np.ndarray, words: list[str], maps: np.ndarray
) -> Image.Image:
    """One tile for each word: the picture (h, w, 3) uint8, lit by its map.

    maps is (words, rows, columns), each not negative.
    """
    if len(words) != len(maps):
        raise ValueError(f"{len(words)} words, but {len(maps)} maps")
    base = Image.fromarray(picture).resize((TILE, TILE), Image.Resampling.BICUBIC)
    rows = max(math.ceil(len(words) / COLUMNS), 1)
    step, down = TILE + MARGIN, TILE + LINE + MARGIN
    size = (MARGIN + COLUMNS * step, MARGIN + rows * down)
    sheet = Image.new("RGB", size, PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for number, (word, weights) in enumerate(zip(words, maps)):
        line, column = divmod(number, COLUMNS)
        left, top = MARGIN + column * step, MARGIN + line * down
        pen.text((left, top), word[:20], INK, font)
        sheet.paste(_lit(base, weights), (left, top + LINE))
    return sheet


def _lit(base, weights):
    """The picture, each place as bright as its weight is against the largest."""
    share = weights / max(float(weights.max()), 1e-12)
    light = Image.fromarray(np.uint8(255 * (DARKEST + (1 - DARKEST) * share)), "L")
    light = light.resize(base.size, Image.Resampling.BILINEAR)
    return Image.composite(base, Image.new("RGB", base.size), light)
