r"""The chat template: recognised, written out, and safe from what is asked."""

import json

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from refvlm.text import (
    CHATML,
    IMAGE_SENTINEL,
    TokenizerError,
    chat_prompt,
    encode_chat,
    load_tokenizer,
    recognize_template,
)

from ..spec import contract, example, law, oracle
from .test_tokenizer import PIECES
from .vocabulary import transformers_tokenizer, write_vocabulary

TURN = "'<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>' + '\\n'"
OPEN = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"

# The same prompt, as templates of several checkpoints spell it.
CHATML_TEMPLATES = {
    "one expression": "{% for m in messages %}{{ " + TURN + " }}{% endfor %}" + OPEN,
    "real newlines": (
        "{% for m in messages %}{{'<|im_start|>' + m['role'] + '\n' + m['content'] + "
        "'<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}"
        "{{ '<|im_start|>assistant\n' }}{% endif %}"
    ),
    "a default system line": (
        "{% for m in messages %}{% if loop.first and m['role'] != 'system' %}"
        "{{ '<|im_start|>system\\nBe brief.<|im_end|>\\n' }}{% endif %}{{ "
        + TURN
        + " }}{% endfor %}"
        + OPEN
    ),
    "attributes, and turns that use tools": (
        "{%- for message in messages %}\n"
        "    {%- if message.tool_calls %}\n"
        "        {{- '<|im_start|>' + message.role }}{{- '\\n<tool_call>' }}\n"
        "    {%- elif message.role == 'tool' %}{{- '<|im_start|>user' }}\n"
        "    {%- else %}\n"
        "    {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>'"
        " + '\\n' }}\n"
        "    {%- endif %}\n"
        "{%- endfor %}\n"
        "{%- if add_generation_prompt %}\n    {{- '<|im_start|>assistant\\n' }}\n"
        "{%- endif %}\n"
    ),
    "text outside expressions": (
        "{% for m in messages %}<|im_start|>{{ m.role }}{{ '\n' }}{{ m.content }}"
        "<|im_end|>{{ '\n' }}{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant{{ '\n' }}{% endif %}"
    ),
    "double quotes and tildes": (
        '{% for m in messages %}{{ "<|im_start|>" ~ m["role"] ~ "\\n" ~ m["content"] ~ '
        '"<|im_end|>\\n" }}{% endfor %}'
        '{% if add_generation_prompt %}{{ "<|im_start|>assistant\\n" }}{% endif %}'
    ),
}

# As Hugging Face's FastVLM has it: content is a list, and images come first.
CHATML_WITH_IMAGES = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' }}"
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}"
    "{% for part in m['content'] | selectattr('type', 'equalto', 'image') %}"
    "{{ '<image>' }}{% endfor %}"
    "{% for part in m['content'] | selectattr('type', 'equalto', 'text') %}"
    "{{ '\\n' + part['text'] }}{% endfor %}{% endif %}"
    "{{ '<|im_end|>' + '\\n' }}{% endfor %}" + OPEN
)

LOOP = "{% for m in messages %}"
OTHER_TEMPLATES = {
    "Llama 2": LOOP + "{{ '[INST] ' + m['content'] + ' [/INST]' }}{% endfor %}",
    "Llama 3": LOOP
    + "{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\\n\\n' + m['content'] "
    "+ '<|eot_id|>' }}{% endfor %}",
    "Gemma": LOOP
    + "{{ '<start_of_turn>' + m['role'] + '\\n' + m['content'] + '<end_of_turn>\\n' }}"
    "{% endfor %}",
    "Phi-3": LOOP
    + "{{ '<|' + m['role'] + '|>\\n' + m['content'] + '<|end|>\\n' }}{% endfor %}",
    "Vicuna": LOOP + "{{ 'USER: ' + m['content'] + ' ASSISTANT:' }}{% endfor %}",
    "nothing": "",
    "a role and a space": CHATML_TEMPLATES["one expression"].replace(
        "m['role'] + '\\n'", "m['role'] + ' '"
    ),
    "no newline after a turn": CHATML_TEMPLATES["one expression"].replace(
        "'<|im_end|>' + '\\n'", "'<|im_end|>'"
    ),
    "no role": CHATML_TEMPLATES["one expression"].replace("m['role']", "m['name']"),
    "no opening of the answer": CHATML_TEMPLATES["one expression"].replace(OPEN, ""),
    "an answer that is begun": CHATML_TEMPLATES["one expression"].replace(
        "assistant\\n", "assistant\\nSure, "
    ),
    "an answer that thinks first": CHATML_TEMPLATES["one expression"].replace(
        "assistant\\n", "assistant\\n<think>\\n"
    ),
    "a beginning of its own": "{{ bos_token }}" + CHATML_TEMPLATES["one expression"],
    "images in Qwen2-VL's way": CHATML_TEMPLATES["one expression"].replace(
        "m['content']", "'<|vision_start|><|image_pad|><|vision_end|>' + m['content']"
    ),
    "both ChatML and another": CHATML_TEMPLATES["one expression"] + "[INST]",
}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return load_tokenizer(write_vocabulary(tmp_path_factory.mktemp("tokenizer")))


@example
def test_chat_prompt_is_the_papers():
    """The whole frame around a question about an image, to the last newline."""
    assert chat_prompt("What is this?") == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\n<image>\nWhat is this?<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    assert "user\nWhy?<|im_end|>" in chat_prompt("Why?", image=False)
    assert "system\nBe brief.<|im_end|>" in chat_prompt("Why?", "Be brief.")


@example
def test_encode_chat_marks_the_image(tokenizer):
    """One -200 for Apple's checkpoints, the image token many times for the others."""
    image = tokenizer.token_id("<image>")
    apple = encode_chat(tokenizer, "What is this?")
    hugging_face = encode_chat(tokenizer, "What is this?", image, 5)
    place = apple.index(IMAGE_SENTINEL)
    assert apple.count(-200) == 1
    assert hugging_face == apple[:place] + [image] * 5 + apple[place + 1 :]
    assert tokenizer.decode(encode_chat(tokenizer, "Why?", image, 1)) == chat_prompt(
        "Why?"
    )


questions = st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=6)


@law
@hypothesis.given(question=questions.map("".join), system=questions.map("".join))
def test_encode_chat_question_cannot_leave_its_turn(tokenizer, question, system):
    """Whatever is asked, the markers are the template's: five of them and one image."""
    ids = encode_chat(tokenizer, question, system=system)
    expected = encode_chat(tokenizer, "", system="")
    special = {*tokenizer.markers.values(), IMAGE_SENTINEL}
    assert [i for i in ids if i in special] == [i for i in expected if i in special]


@law
@hypothesis.given(question=questions.map("".join))
def test_encode_chat_is_the_prompt_where_no_marker_is_asked(tokenizer, question):
    """For a question without markers, the ids are those of the prompt as text."""
    hypothesis.assume(not any(name in question for name in tokenizer.markers))
    image = tokenizer.token_id("<image>")
    ids = encode_chat(tokenizer, question, image, 1)
    assert ids == tokenizer.encode(chat_prompt(question))
    without = encode_chat(tokenizer, question, image_tokens=0)
    assert without == tokenizer.encode(chat_prompt(question, image=False))


QUESTIONS = [
    "What is on the table?",
    " \n two\r\n lines ",
    "Éclair, e\u0301? 123",
    "\nyes",
    "",
]


@oracle
@pytest.mark.parametrize("spelling", [*CHATML_TEMPLATES, "images"])
def test_encode_chat_equals_apply_chat_template(tmp_path, compare, spelling):
    """The ids are those that transformers gets by running the checkpoint's template."""
    images = spelling == "images"
    template = CHATML_WITH_IMAGES if images else CHATML_TEMPLATES[spelling]
    directory = write_vocabulary(tmp_path, template)

    def messages(question):
        content = "<image>\n" + question
        if images:
            content = [{"type": "text", "text": question}, {"type": "image"}]
        return [
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": content},
        ]

    def ask(torch):
        theirs = transformers_tokenizer(directory)
        ids = [
            theirs.apply_chat_template(
                messages(question), add_generation_prompt=True, return_dict=False
            )
            for question in QUESTIONS
        ]
        return {str(i): np.array(row, np.int64) for i, row in enumerate(ids)}

    expected = compare.answers(ask, (template, QUESTIONS))
    tokenizer = load_tokenizer(directory)
    assert recognize_template(directory, tokenizer) == CHATML
    for i, question in enumerate(QUESTIONS):
        ids = encode_chat(tokenizer, question, tokenizer.token_id("<image>"), 1)
        assert ids == expected[str(i)].tolist()


@law
@pytest.mark.parametrize(
    "file", ["chat_template.jinja", "chat_template.json", "tokenizer_config.json"]
)
def test_recognize_template_looks_in_every_place(tmp_path, file):
    """A template may lie in several files; one that is not ChatML is found in each."""
    for name, template in (("good", CHATML_WITH_IMAGES), ("bad", "[INST]")):
        directory = write_vocabulary(tmp_path / name)
        tokenizer = load_tokenizer(directory)
        content = {"chat_template": template}
        text = template if file.endswith("jinja") else json.dumps(content)
        (directory / file).write_text(text)
        if name == "good":
            assert recognize_template(directory, tokenizer) == CHATML
        else:
            with pytest.raises(TokenizerError, match="INST"):
                recognize_template(directory, tokenizer)


@law
def test_recognize_template_without_one(tmp_path):
    """Without a template, a vocabulary with ChatML's markers speaks ChatML."""
    directory = write_vocabulary(tmp_path / "with")
    assert recognize_template(directory, load_tokenizer(directory)) == CHATML
    directory = write_vocabulary(tmp_path / "without", markers=None)
    with pytest.raises(TokenizerError, match="lacks <|im_start|> and <|im_end|>"):
        recognize_template(directory, load_tokenizer(directory))


@law
def test_recognize_template_takes_the_default_of_several(tmp_path):
    """Of templates with names, the one called default is meant."""
    named = [
        {"name": "tool_use", "template": "[INST]"},
        {"name": "default", "template": CHATML_WITH_IMAGES},
    ]
    directory = write_vocabulary(tmp_path, named)
    assert recognize_template(directory, load_tokenizer(directory)) == CHATML
    directory = write_vocabulary(tmp_path, named[:1])
    with pytest.raises(TokenizerError, match="not a text"):
        recognize_template(directory, load_tokenizer(directory))


@contract
@pytest.mark.parametrize("family", OTHER_TEMPLATES)
def test_recognize_template_refuses_others(tmp_path, family):
    """A model asked in a frame that it was not trained on answers nonsense."""
    directory = write_vocabulary(tmp_path, OTHER_TEMPLATES[family])
    with pytest.raises(TokenizerError, match="the chat template is not ChatML"):
        recognize_template(directory, load_tokenizer(directory))


@contract
@pytest.mark.parametrize(
    "template", [7, {}, [], [7], ["x"], [{"name": []}], "x" * 2_000_000, [[]]]
)
def test_recognize_template_refuses_what_is_no_template(tmp_path, template):
    """A template is a text of a reasonable length, or a list of named ones."""
    directory = write_vocabulary(tmp_path, template)
    with pytest.raises(TokenizerError):
        recognize_template(directory, load_tokenizer(directory))


@contract
def test_recognize_template_is_quick_on_hostile_texts(tmp_path):
    """Patterns on text from outside must not be led into trying for ever."""
    tokenizer = load_tokenizer(write_vocabulary(tmp_path))
    hostile = ["<|im_start|>" * 80_000, "<|im_start|>" + "'" * 900_000, "<|" * 500_000]
    hostile += ["<|im_start|>assistant" + " " * 900_000, "<|im_end|>" + "+'" * 400_000]
    for text in hostile:
        (tmp_path / "chat_template.jinja").write_text(text)
        with pytest.raises(TokenizerError):
            recognize_template(tmp_path, tokenizer)


@contract
def test_encode_chat_refuses_what_cannot_be(tokenizer):
    """A negative number of image tokens, and a question that is no Unicode."""
    with pytest.raises(TokenizerError, match="cannot be negative"):
        encode_chat(tokenizer, "Why?", image_tokens=-1)
    with pytest.raises(TokenizerError, match="not valid Unicode"):
        encode_chat(tokenizer, "Why\udcff")
