"""The page check sees what is wrong with a figure, and finds nothing in a good one."""

from __future__ import annotations

import io

import matplotlib.pyplot as plt
import pytest

from refvlm_book import colors, figures

from .drawings import drawing_faults

PHONE = 340


@pytest.fixture
def axes():
    """A figure in the book's look, as a chapter begins one."""
    with plt.rc_context():
        figures.use_style()
        _, axes = plt.subplots()
        axes.plot([1, 2], label="a line")
        yield axes
        plt.close("all")


def faults(axes, theme="light", shown=PHONE):
    file = io.StringIO()
    axes.figure.savefig(file, format="svg")
    svg = file.getvalue()
    return list(
        drawing_faults(
            colors.in_the_dark(svg) if theme == "dark" else svg, shown, theme
        )
    )


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_figure_in_the_book_style_has_no_fault(axes, theme):
    """Letters on a bar of one of the colours are paper, on a map white or dark."""
    axes.set(xlabel="step", ylabel=r"$\theta_1$", title="a title")
    axes.text(0.5, 1.2, "on a map", color="white")
    axes.text(0.5, 1.4, "on a bar", color=colors.PAPER)
    axes.axhspan(1, 2, color=colors.TEAL, alpha=0.2)
    assert faults(axes, theme) == []


def test_small_letters_are_a_fault(axes):
    """9 points in the full width are 9 pixels on a phone."""
    axes.text(0.5, 1.5, "small", fontsize=9)
    assert any("letters of 8.9 px" in fault for fault in faults(axes))
    assert faults(axes, shown=500) == []


def test_letters_without_a_twin_are_a_fault(axes):
    """Black and named greys stay as they are on a dark page."""
    axes.text(0.5, 1.5, "black", color="black")
    axes.text(0.5, 1.2, "grey", color="0.2")
    said = " ".join(faults(axes))
    assert "#000000" in said and "#333333" in said


def test_lines_that_nobody_sees_are_a_fault(axes):
    """A black line on a dark page."""
    axes.plot([2, 1], color="black")
    assert faults(axes, "light") == []
    assert any("lines in #000000" in fault for fault in faults(axes, "dark"))


@pytest.mark.parametrize("what", ["figure", "axes"])
def test_opaque_background_is_a_fault(axes, what):
    """A white card, of the whole figure or of its axes."""
    (axes.figure if what == "figure" else axes).set_facecolor("white")
    with plt.rc_context({"savefig.facecolor": "auto"}):
        assert "has an opaque background" in faults(axes)
