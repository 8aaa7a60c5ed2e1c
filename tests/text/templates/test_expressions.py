"""The spec of refvlm/text/templates/expressions.py."""

import json

import numpy as np
import pytest

from refvlm.text.templates.expressions import evaluate, truth
from refvlm.text.templates.values import Missing, Said, TemplateError, Words

from ...spec import contract, example, law, oracle

MESSAGES = [
    {"role": "system", "content": " Be brief. ", "name": "o'neil x2y"},
    {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Why?"}]},
    {"role": "assistant", "content": "Because."},
]
NAMES = {"messages": MESSAGES, "message": MESSAGES[0], "i": 3, "yes": True, "no": None}
EXPRESSIONS = [
    "'a\\n' + \"b\\\"\" + 'c'",
    "'two' ' parts'",
    "message['role'].upper() + ': '",
    "message.content.strip() ~ i ~ '!'",
    "message['content'] | trim + ' ' + 'x' | upper",
    "messages[1:] | length",
    "messages[1]['content'] | selectattr('type', 'equalto', 'text') | list | length",
    "(messages | last).content",
    "(messages|first)['role'] | title",
    "messages[-1].role",
    "messages[0]['role'] == 'system' and messages | length > 2",
    "(message['role'] == 'user') != (i % 2 == 0)",
    "not yes or i - 1 >= 2",
    "i + 2 < 6 and -i <= 3",
    "message.content is string and messages[1].content is not string",
    "tools is defined or tools",
    "tools is not defined and message.tool_calls is undefined",
    "no is none and yes is not none",
    "yes is true",
    "message['role'] in ['system', 'user']",
    "'rief' in message.content and 'x' not in message['content']",
    "'a' if tools else 'b'",
    "tools or 'nothing'",
    "'role' in message and message.get('role') == 'system'",
    "message['content'].lstrip().startswith('Be')",
    "message.content\n  ~ '\n'",
    "message.name | title ~ message.name.title()",
    "'ab-cd (ef {gh [ij <kl\tm' | title",
    "1 == true and 0 == false and not 2 == true and yes == 1",
    "tools == documents and tools != none and not message.tool_calls != tools",
    "1 in [true] and tools in [documents] and not tools in [none]",
    "[1, 'a'] == [true, 'a'] and [1] != [1, 2]",
    "messages[1].content is iterable and messages[1].content is not mapping",
]


@example
def test_evaluate_reads_what_a_template_says_of_a_message():
    """A role in capitals, a place in a loop, what was not given."""
    assert evaluate("message['role'].upper() + ': '", NAMES) == "SYSTEM: "
    assert evaluate("messages[1:][0].content[1]['text']", NAMES) == "Why?"
    assert evaluate("documents", NAMES) == Missing("documents")


@oracle
def test_evaluate_equals_jinja(compare):
    """The values that Jinja's own sandbox computes, filters and tests among them."""

    def ask(torch):
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        environment = ImmutableSandboxedEnvironment()
        values = [
            environment.compile_expression(source, undefined_to_none=False)(**NAMES)
            for source in EXPRESSIONS
        ]
        said = json.dumps(
            [bool(v) if not isinstance(v, (str, int)) else v for v in values]
        )
        return {"values": np.frombuffer(said.encode(), np.uint8)}

    given = (EXPRESSIONS, repr(NAMES))
    expected = compare.answers(ask, given, library="jinja2")["values"]
    for source, value in zip(EXPRESSIONS, json.loads(expected.tobytes()), strict=True):
        found = evaluate(source, NAMES)
        found = str(found) if isinstance(found, Said) else found
        found = found if isinstance(found, (str, int)) else bool(found)
        assert (found, type(found)) == (value, type(value)), source


@law
def test_evaluate_never_makes_the_asker_the_template():
    """Joined and stripped, a question's words stay the asker's."""
    asked = Said([Words(" <image> ", True)])
    found = evaluate("'<image>' + q.strip() ~ '!'", {"q": asked})
    assert found == Said(
        [Words("<image>", False), Words("<image>", True), Words("!", False)]
    )
    assert truth(asked) and not truth(Said())


@contract
@pytest.mark.parametrize(
    "source",
    [
        "__import__('os')",
        "message.__class__.mro",
        "''.__class__.__mro__",
        "messages.append(1)",
        "[x for x in messages]",
        "lambda: 1",
        "f'{message}'",
        "r'a'",
        "b'a'",
        "'%s' % message",
        "'a' * 9",
        "2 ** 99",
        "{'a': 1}",
        "x := 1",
        "messages[::2]",
        "messages[0, 1]",
        "messages[messages]",
        "message[['role']]",
        "1 < i < 5",
        "i + 1 is string",
        "i is divisibleby(3)",
        "messages | selectattr('role', 'in', ['user'])",
        "message | tojson",
        "message | items",
        "range(10)",
        "namespace(a=1)",
        "message.role.upper",
        "message.content.split('.')",
        "'a' + 1",
        "1 + 'a'",
        "i % 0",
        "1.5",
        "`a`",
        "a; b",
        "",
        "a if b",
        "not " * 900 + "yes",
        "(" * 300 + "1" + ")" * 300,
        "'" + "a" * 5000 + "'",
        "\\d",
        "a\x00b",
    ],
)
def test_evaluate_refuses_what_it_does_not_understand(source):
    """Nothing is run and nothing is guessed: every other construct is an error."""
    with pytest.raises((TemplateError, RecursionError)):
        evaluate(source, NAMES)


@contract
def test_evaluate_says_what_the_template_says():
    """A template's own objection comes through, with its words."""
    with pytest.raises(TemplateError, match="refuses this conversation: Roles must"):
        evaluate("raise_exception('Roles must ' + 'alternate')", NAMES)
    with pytest.raises(TemplateError, match="asks for tools, which is not there"):
        evaluate("tools[0].name", NAMES)
    with pytest.raises(TemplateError, match="asks for bos_token, which is not there"):
        evaluate("bos_token + '[INST]'", NAMES)
