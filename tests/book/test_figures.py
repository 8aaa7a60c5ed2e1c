"""What the chapters share: pictures that are there, and figures that can be read."""

from __future__ import annotations

import io

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.text import Text

from refvlm_book import colors, figures

LINES = (colors.TEAL, colors.ORANGE, colors.BLUE, colors.ROSE, colors.GRAY)
PAGES = {"light": colors.PAPER, "dark": colors.TWINS[colors.PAPER]}


@pytest.fixture
def style():
    """The book's look, for one test."""
    with plt.rc_context():
        figures.use_style()
        yield
        plt.close("all")


def as_svg(figure) -> str:
    file = io.StringIO()
    figure.savefig(file, format="svg")
    return file.getvalue()


@pytest.mark.parametrize("page", PAGES)
def test_letters_and_lines_can_be_read_on_either_page(page):
    """The contrasts that WCAG asks for: 7 for letters, 3 for lines."""
    dark = page == "dark"
    for color in (colors.INK, *LINES):
        shown = colors.TWINS[color] if dark else color
        least = 7 if color == colors.INK else 3
        assert colors.contrast(shown, PAGES[page]) >= least, (page, color)


def test_contrast_of_black_and_white_is_21():
    """The largest that there is; a colour and itself have 1."""
    assert colors.contrast("#000000", "#ffffff") == pytest.approx(21)
    assert colors.contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)
    assert colors.contrast(colors.TEAL, colors.TEAL) == 1


def test_dark_copy_changes_the_ink_and_leaves_the_rest():
    """A colour map's own colours and the white of a letter stay as they are."""
    drawing = "fill: #1F2933; stroke: #440154; fill: #ffffff; href: AAAA1f2933"
    dark = drawing.replace("#1F2933", colors.TWINS[colors.INK])
    assert colors.in_the_dark(drawing) == dark
    assert colors.ON_BRIGHT not in colors.TWINS


def test_no_dark_colour_is_a_light_one():
    """The dark copy of a dark copy is the dark copy, and no two colours become one."""
    assert set(colors.TWINS).isdisjoint(colors.TWINS.values())
    assert len(set(colors.TWINS.values())) == len(colors.TWINS)


def test_figure_is_transparent(style):
    """What lies under a figure is the page, light or dark."""
    figure, axes = plt.subplots()
    axes.plot([1, 2])
    assert figure.get_facecolor()[3] == axes.get_facecolor()[3] == 0
    drawing = as_svg(figure)
    assert "#ffffff" not in drawing
    assert colors.INK in drawing and colors.TEAL in drawing


def test_pictures_fill_the_width_in_three_columns(style):
    """Four side by side would be stamps on a phone."""
    cat = figures.picture()
    figure = figures.images([cat] * 4, ["a title of more words than fit"] * 4)
    assert figure.get_size_inches()[0] == figures.WIDTH
    assert figure.axes[0].get_gridspec().ncols == 3
    assert "\n" in figure.axes[0].get_title()
    with pytest.raises(ValueError, match="columns is 4"):
        figures.images([cat] * 4, columns=4)


def test_matrix_writes_large_enough_and_no_wider_than_a_figure(style):
    """Twelve columns of numbers still fit, and a blank cell's mark is ink."""
    values = np.linspace(0, 1, 24).reshape(2, 12)
    values[0, 0] = -np.inf
    axes = figures.matrix(values, ["a", "b"])
    assert axes.figure.get_size_inches()[0] <= figures.WIDTH
    texts = [text for text in axes.findobj(Text) if text.get_text()]
    assert min(text.get_fontsize() for text in texts) >= 11
    numbers = {text.get_text(): text.get_color() for text in axes.texts}
    assert numbers["-inf"] == colors.INK
    assert numbers["0.04"] == "white"
    assert numbers["1.00"] == colors.ON_BRIGHT


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
