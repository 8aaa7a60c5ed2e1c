"""A downloaded chapter is plain Markdown: what each directive and role becomes."""

from __future__ import annotations

from refvlm_sphinx.plain_markdown import to_plain


class Known:
    """Stands in for the built book: every reference has a known answer."""

    def role(self, name: str, content: str) -> str:
        return f"<{name} {content}>"

    def formulas(self, text: str) -> str:
        return text

    def equation_number(self, label: str) -> str:
        return {"eq-softmax": "2.1"}.get(label, "")

    def included(self, target: str, options: dict[str, str]) -> tuple[str, str]:
        return "refvlm/ops/probability.py", f"def {options['pyobject']}(scores): ..."


def plain(text: str) -> str:
    return to_plain(text, Known())


def test_included_code_is_written_out():
    """A notebook that is read far from the repository still shows the function."""
    source = "```{literalinclude} ../refvlm/ops/probability.py\n:pyobject: softmax\n```"
    assert plain(source) == (
        "*From `refvlm/ops/probability.py`:*\n\n"
        "```python\ndef softmax(scores): ...\n```"
    )


def test_a_numbered_equation_keeps_its_number():
    """ "See (2.1)" means the same on the page and in the notebook."""
    source = "```{math}\n:label: eq-softmax\np = 1\n```"
    assert plain(source) == "$$\np = 1\n\\tag{2.1}\n$$"


def test_a_box_becomes_a_quotation_with_its_title():
    """Jupyter has no admonitions; a quotation is set apart in the same way."""
    source = "```{admonition} After this chapter you can\n:class: tip\n- count\n```"
    assert plain(source) == "> **After this chapter you can**\n>\n> - count"


def test_boxes_within_boxes_are_both_rewritten():
    """The inner fence closes with its own marks, not with the outer ones."""
    source = "````{note}\nouter\n```{tip}\ninner\n```\n````\nafter"
    assert plain(source) == "> **Note**\n>\n> outer\n> > **Tip**\n> >\n> > inner\nafter"


def test_ordinary_code_is_left_alone():
    """What looks like a role inside a listing is part of the listing."""
    source = "```python\nx = '{ref}`here`'\n```"
    assert plain(source) == source


def test_labels_vanish_and_references_become_words():
    """Markup that only Sphinx understands does not reach the reader."""
    source = "(ch-softmax)=\n# Softmax\nsee {eq}`eq-softmax`"
    assert plain(source) == "# Softmax\nsee <eq eq-softmax>"


def test_an_exercise_becomes_a_heading_and_its_text():
    """An exercise can be done in the notebook, where the next cell is free."""
    source = "```{exercise} Shift\n:label: ex-shift\nShow it.\n```"
    assert plain(source) == "**Exercise (Shift).**\n\nShow it."


def test_a_list_of_rows_becomes_a_table():
    """Jupyter draws tables from bars; rows as lists are easier to write."""
    source = "```{list-table} Shapes\n* - stage\n  - shape\n* - stem\n  - 96\n```"
    assert plain(source) == "*Shapes*\n\n| stage | shape |\n|---|---|\n| stem | 96 |"


def test_a_numbered_equation_in_a_box_stays_in_the_box():
    """Every line of a quotation bears its mark, the equation's number too."""
    source = "```{note}\n$$\np = 1\n$$ (eq-softmax)\n```"
    assert plain(source) == "> **Note**\n>\n> $$\n> p = 1\n> \\tag{2.1}\n> $$"


def test_a_check_becomes_its_command_and_its_folded_hints():
    """A check stands in its exercise, between colons between backticks."""
    source = """\
```{exercise} Shift
:label: ex-shift
Write `softmax`.

:::{check} softmax
:laws: example contract
- See {eq}`eq-softmax`,
  all of it.
- Subtract the largest.
:::
```
after"""
    assert plain(source) == (
        "**Exercise (Shift).**\n\nWrite `softmax`.\n\n\n**Check yours:**\n\n"
        '```\npytest --impl mine.py -k softmax --contracts -m "example or contract"\n'
        "```\n\n"
        "<details><summary>Hint 1</summary>\n\nSee <eq eq-softmax>,\nall of it.\n\n"
        "</details>\n\n<details><summary>Hint 2</summary>\n\nSubtract the largest.\n\n"
        "</details>\n\nafter"
    )
