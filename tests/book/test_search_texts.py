"""What the search reads of a page: prose without code, and formulas made plain."""

from __future__ import annotations

import pytest
from docutils import nodes

from refvlm_sphinx.search_texts import plain_formula, sections_of


@pytest.mark.parametrize(
    ("tex", "plain"),
    [
        ("n", "n"),
        (r"\theta_1", "θ_1"),
        (r"\Lambda \odot x", "Λ ⊙ x"),
        (r"\softmax(s)", "softmax(s)"),
        (r"j \le i", "j ≤ i"),
        (r"c_\text{in}", "c_in"),
        (r"W\transpose", "Wᵀ"),
        (r"\frac{a}{b}", "…"),
        ("x + " * 20, "…"),
    ],
)
def test_short_formula_is_typed_and_a_long_one_is_left_out(tex, plain):
    """An excerpt is read by a person, who does not read TeX."""
    assert plain_formula(tex) == plain


def test_section_has_its_prose_and_not_its_code_or_its_subsections():
    """A subsection is found by itself; an exercise, with its section."""
    section = nodes.section(ids=["outer"])
    section += nodes.title("", "Outer")
    section += nodes.paragraph("", "", nodes.Text("some prose "), nodes.math("", "n"))
    section += nodes.literal_block("", "import numpy")
    section += nodes.container(
        "", nodes.paragraph("", "ops/x.py"), classes=["source-name"]
    )
    section += nodes.section("", nodes.paragraph("", "an exercise"), ids=["exercise"])
    inner = nodes.section("", nodes.title("", "Inner"), ids=["inner"])
    inner += nodes.paragraph("", "more.")
    section += inner
    document = nodes.section("", section)
    assert list(sections_of(document)) == [
        ("outer", "Outer", "some prose n an exercise"),
        ("inner", "Inner", "more."),
    ]
