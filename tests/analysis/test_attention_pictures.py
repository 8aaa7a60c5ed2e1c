"""The spec of refvlm/analysis/attention_pictures.py."""

import numpy as np
import pytest

from refvlm.analysis.attention_pictures import (
    LINE,
    MARGIN,
    TILE,
    attention_sheet,
    words_of,
)

from ..spec import contract, example, law


@example
def test_words_of_joins_tokens():
    """A token that begins with a space begins a word; signs belong to none."""
    pieces = ["from", " left", ":", " a", " tri", "angle", ",", " star", "<end>"]
    assert [word for word, _ in words_of(pieces[:-1])] == [
        *("from", "left", "a", "triangle", "star"),
    ]
    assert words_of(pieces[:-1])[3] == ("triangle", [4, 5])


@law
def test_attention_sheet_is_bright_where_the_weights_are():
    """A map with all its weight at the top right lights the tile there."""
    picture = np.full((32, 32, 3), 200, np.uint8)
    maps = np.zeros((2, 4, 4))
    maps[0, 0, 3] = 1.0
    maps[1, 3, 0] = 1.0
    sheet = np.asarray(attention_sheet(picture, ["one", "two"], maps)).astype(int)
    for number, bright in enumerate(("top right", "bottom left")):
        left = MARGIN + number * (TILE + MARGIN)
        tile = sheet[MARGIN + LINE : MARGIN + LINE + TILE, left : left + TILE]
        third = TILE // 4
        corners = {
            "top right": tile[:third, -third:].mean(),
            "bottom left": tile[-third:, :third].mean(),
            "top left": tile[:third, :third].mean(),
        }
        assert max(corners, key=corners.get) == bright
        assert corners["top left"] < 60 < corners[bright]


@contract
def test_attention_sheet_needs_a_map_for_each_word():
    """One map for two words is a mistake of the caller."""
    with pytest.raises(ValueError, match="2 words, but 1 maps"):
        attention_sheet(np.zeros((8, 8, 3), np.uint8), ["a", "b"], np.ones((1, 2, 2)))
