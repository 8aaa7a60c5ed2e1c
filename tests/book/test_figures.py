"""What the chapters share: pictures that are there, and errors that help."""

from __future__ import annotations

import numpy as np
import pytest

from refvlm_book import figures


def test_picture_is_an_array_of_rows_columns_and_colours():
    """The cat of the figures is 300 rows of 451 pixels of red, green and blue."""
    cat = figures.picture()
    assert cat.shape == (300, 451, 3)
    assert cat.dtype == np.uint8


def test_picture_that_does_not_exist_names_those_that_do():
    """A misspelt name is answered with the names to choose from."""
    with pytest.raises(ValueError, match="cat, coffee"):
        figures.picture("dog")


def test_every_picture_is_small_and_says_where_it_is_from():
    """A book that is cloned stays light, and owns what it shows."""
    provenance = (figures.PICTURES / "README.md").read_text(encoding="utf-8")
    for file in figures.PICTURES.glob("*.jpg"):
        height, width, _ = figures.picture(file.stem).shape
        assert f"`{file.name}`" in provenance
        assert max(height, width) <= 512
        assert file.stat().st_size <= 80_000
