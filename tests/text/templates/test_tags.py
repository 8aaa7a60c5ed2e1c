"""The spec of refvlm/text/templates/tags.py."""

import numpy as np
import pytest

from refvlm.text.templates.tags import Tag, tags
from refvlm.text.templates.values import TemplateError

from ...spec import contract, example, oracle

# Every way in which white space stands around a tag.
LAYOUTS = [
    "a {% if x %} b {% endif %} c",
    "a\n  {% if x %}\n  b\n  {% endif %}\n\nc\n",
    "a\n  {%- if x -%}\n  b\n  {%- endif -%}\n\nc\n\n",
    "a\n  {%+ if x +%}\n  b\n  {%+ endif +%}\nc",
    "{{ x }}\n  {{- x -}}\n {{ x }}  \n",
    "  {% if x %}b{% endif %}\r\n  {# no\n matter #}\r\nc",
    "a {#- b -#} c {# d #}\n\n  {#- e #}\nf",
    "{% if x %}\n{% if x %}\n  {% if x %}\nb{% endif %}{% endif %}{% endif %}",
    "{{ '%} }} {{ {%' }}{{ \"it's\" }}{{ 'it\\'s }}' }}",
    "  {% if x %}  {% endif %}  {% if x %}\n{% endif %}",
]


@example
def test_tags_are_words_and_what_stands_in_braces():
    """A newline behind a statement is the statement's; one behind a value is text."""
    assert tags("{% if a %}\nyes {{ b }}\n  {% endif %}") == [
        Tag("{%", "if a"),
        Tag("", "yes "),
        Tag("{{", "b"),
        Tag("", "\n"),
        Tag("{%", "endif"),
    ]


@oracle
def test_tags_keep_the_white_space_that_jinja_keeps(compare):
    """By the options that transformers sets."""

    def ask(torch):
        import jinja2

        environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
        printed = [environment.from_string(text).render(x="X") for text in LAYOUTS]
        return {"text": np.frombuffer("\0".join(printed).encode(), np.uint8)}

    expected = compare.answers(ask, (LAYOUTS,), library="jinja2")["text"]

    def printed(text):
        names = {"x": "X", '"it\'s"': "it's", "'it\\'s }}'": "it's }}"}
        names["'%} }} {{ {%'"] = "%} }} {{ {%"
        return "".join(
            names[tag.source] if tag.opening == "{{" else tag.source
            for tag in tags(text)
            if tag.opening != "{%"
        )

    assert "\0".join(map(printed, LAYOUTS)).encode() == expected.tobytes()


@contract
@pytest.mark.parametrize(
    "text, message",
    [
        ("a {{ b", "a {{ without its }}"),
        ("{% if 'x %}", "a {% without its %}"),
        ("{# remark", "a remark without an end"),
        ("{{ 'a }} b", "without its }}"),
    ],
)
def test_tags_refuse_what_does_not_end(text, message):
    """Half a tag is no template."""
    with pytest.raises(TemplateError, match=message):
        tags(text)
