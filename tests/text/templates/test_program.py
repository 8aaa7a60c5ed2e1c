"""The spec of refvlm/text/templates/program.py."""

import json

import numpy as np
import pytest

from refvlm.text.templates import program
from refvlm.text.templates.values import ListError, Said, TemplateError, Words

from ... import llavas
from ...spec import contract, example, law, oracle
from ..test_chat import CHATML_TEMPLATES, CHATML_WITH_IMAGES

LLAMA2 = (  # as meta-llama/Llama-2-7b-chat-hf has it
    "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}"
    "{% set system_message = messages[0]['content'] %}{% else %}"
    "{% set loop_messages = messages %}{% set system_message = false %}{% endif %}"
    "{% for message in loop_messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/...') }}"
    "{% endif %}{% if loop.index0 == 0 and system_message != false %}"
    "{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + "
    "message['content'] %}{% else %}{% set content = message['content'] %}{% endif %}"
    "{% if message['role'] == 'user' %}"
    "{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}"
    "{{ ' '  + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)
LLAMA3 = (  # as meta-llama/Meta-Llama-3-8B-Instruct has it
    "{% set loop_messages = messages %}{% for message in loop_messages %}"
    "{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'"
    "+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}"
    "{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}"
    "{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
MIXED = (  # lines, indents, remarks: a system line before everything, by a condition
    "{#- a remark -#}\n{%- if messages[0].role == 'system' %}\n"
    "    {{- messages[0].content | trim ~ ' ' }}\n"
    "    {%- set rest = messages[1:] %}\n{%- else %}\n"
    "    {%- set rest = messages %}\n{%- endif %}\n"
    "{%- for m in rest %}\n    {%- if m.content is string %}\n"
    "{{ loop.index }}/{{ loop.length }} {{ m.role | capitalize }}: {{ m.content }}\n"
    "    {%- else %}\n        {%- for part in m.content %}\n"
    "        {%- if part.type == 'image' %}<image>{% elif part.type == 'text' %}"
    "{{ part.text }}{% else %}{{ raise_exception('no ' + part.type) }}{% endif %}\n"
    "        {%- endfor %}\n    {%- endif %}\n"
    "    {%- if not loop.last %}{{ eos_token }}{% endif %}\n{%- endfor %}\n"
    "{%- if add_generation_prompt -%}\n  Answer:\n{%- endif %}\n"
)
TEMPLATES = {
    "Vicuna of llava-hf": llavas.VICUNA,
    "Llama 2": LLAMA2,
    "Llama 3": LLAMA3,
    "lines and indents": MIXED,
    "ChatML with images": CHATML_WITH_IMAGES,
    **{f"ChatML: {name}": text for name, text in CHATML_TEMPLATES.items()},
}
PARTS = [{"type": "image"}, {"type": "text", "text": " Why is it red? "}]
CONVERSATIONS = [
    [{"role": "user", "content": " Why?\n"}],
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}],
    [
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "Yes. "},
        {"role": "user", "content": "Two?"},
    ],
    [{"role": "user", "content": PARTS}],
    [{"role": "assistant", "content": "first"}],
]
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}


def printed(template, messages, add_generation_prompt):
    names = {**SPECIAL, "messages": messages}
    names["add_generation_prompt"] = add_generation_prompt
    return str(program.prompt(program.read(template), names))


@example
def test_prompt_of_vicuna_and_of_llama_2():
    """The two frames that LLaVA was trained in, to the last space."""
    said = printed(llavas.VICUNA, CONVERSATIONS[3], True)
    assert said == "USER: <image>\n Why is it red?  ASSISTANT:"
    assert printed(LLAMA2, CONVERSATIONS[1], True) == (
        "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nWhy? [/INST]"
    )


@oracle
@pytest.mark.parametrize("name", TEMPLATES)
def test_prompt_equals_transformers(compare, name):
    """What transformers' own environment prints; where it fails, so does ours."""
    template = TEMPLATES[name]
    asked = [(m, add) for m in CONVERSATIONS for add in (True, False)]

    def ask(torch):
        from transformers.utils.chat_template_utils import _compile_jinja_template

        compiled, said = _compile_jinja_template(template), []
        for messages, add in asked:
            try:
                names = {"messages": messages, "add_generation_prompt": add}
                said.append(compiled.render(**names, **SPECIAL))
            except Exception:
                said.append(None)
        return {"said": np.frombuffer(json.dumps(said).encode(), np.uint8)}

    given = (template, repr(CONVERSATIONS))
    expected = compare.answers(ask, given, library="jinja2")["said"]
    for (messages, add), said in zip(asked, json.loads(expected.tobytes())):
        if said is None or "{'type'" in said:  # a list, spelled as Python does
            with pytest.raises(TemplateError):
                printed(template, messages, add)
        else:
            assert printed(template, messages, add) == said


@law
def test_prompt_knows_what_the_asker_said():
    """The question is one stretch, whatever the template does around it."""
    asked = Said([Words(" <image> [/INST] ", True)])
    names = {**SPECIAL, "messages": [{"role": "user", "content": asked}]}
    said = program.prompt(program.read(LLAMA2), names)
    assert [words for words in said if words.asked] == [Words("<image> [/INST]", True)]
    assert "".join(w.text for w in said if not w.asked) == "<s>[INST]  [/INST]"


@law
def test_a_name_that_a_loop_sets_ends_with_it():
    """As in Jinja, where a loop's block has names of its own, and a condition's not."""
    text = "{% for m in messages %}{% set a = m %}{% endfor %}{{ a is defined }}"
    with pytest.raises(TemplateError, match="prints False"):
        printed(text, ["x"], True)
    text = "{% if messages %}{% set a = 'b' %}{% endif %}{{ a }}"
    assert printed(text, ["x"], True) == "b"


@contract
@pytest.mark.parametrize(
    "template, message",
    [
        ("{% macro a() %}{% endmacro %}", "uses 'macro a"),
        ("{% include 'x' %}", "uses .include"),
        ("{% raw %}a{% endraw %}", "uses 'raw'"),
        ("{% set ns.a = 1 %}", "uses 'set ns.a"),
        ("{% for a, b in messages %}{% endfor %}", "uses 'for a, b"),
        ("{% for m in messages %}", "nothing where 'endfor'"),
        ("{% if messages %}{% endfor %}", "'endfor' where 'endif'"),
        ("{% else %}", "'else' where nothing is open"),
        ("{% if a %}{% else %}{% else %}{% endif %}", "'else' where 'endif'"),
        ("{% if a %}" * 40 + "{% endif %}" * 40, "nests more than 32 blocks"),
        ("x" * 70_000, "more than 65,536 characters"),
    ],
)
def test_read_refuses_what_it_does_not_know(template, message):
    """Before anything is printed."""
    with pytest.raises(TemplateError, match=message):
        program.read(template)


@contract
@pytest.mark.parametrize(
    "template, message",
    [
        ("{% for m in messages if m %}{% endfor %}", "not understood"),
        ("{% for m in tools %}{% endfor %}", "asks for tools"),
        ("{% for m in 'abc' %}{% endfor %}", "letters of a text"),
        ("{% for m in 3 %}{% endfor %}", "no list"),
        ("{{ 'x' ~ tools }}", "asks for tools"),
        ("{{ " + "not " * 900 + "yes }}", "too deeply|not understood"),
        (
            "{% for a in messages %}" * 8 + "x" + "{% endfor %}" * 8,
            "more than 10,000 steps",
        ),
        (
            "{% set a = 'xxxxxxxx' %}" + "{% set a = a + a %}" * 30,
            "more than 1,048,576 characters",
        ),
        (
            "{% set a = '" + "x" * 3900 + "' %}" + "{% for m in messages %}" * 3
            + "{{ a }}" * 9 + "{% endfor %}" * 3,
            "more than 1,048,576 characters",
        ),
    ],
)  # fmt: skip
def test_prompt_ends_and_refuses_what_is_not_there(template, message):
    """Whatever a template says, it neither runs for ever nor fills the memory."""
    with pytest.raises(TemplateError, match=message):
        printed(template, ["m"] * 5, True)


@contract
def test_prompt_tells_a_list_from_a_text():
    """So that the caller may give the content as a text instead."""
    with pytest.raises(ListError):
        printed(LLAMA2, CONVERSATIONS[3], True)
