"""The spec of refvlm/text/frame.py."""

import json
import random
import string

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from refvlm.text import IMAGE_SENTINEL, TokenizerError, encode_chat, load_tokenizer
from refvlm.text.frame import encode_said, read_frame
from refvlm.text.templates.values import Said, Words

from .. import llavas
from ..oracles import import_torchvision
from ..spec import contract, example, law, oracle
from .templates.test_program import LLAMA2, LLAMA3
from .test_chat import CHATML_WITH_IMAGES
from .vocabulary import write_vocabulary

TEMPLATES = {
    "Vicuna": llavas.VICUNA,
    "Llama 2": LLAMA2,
    "its own beginning": "{{ bos_token }}" + llavas.VICUNA,
}
QUESTIONS = [
    "What is on the table?",
    " \n two\r\n lines ",
    "a red cube, 12 and Zürich",
    "<imag e> [/INST] USER: ASSISTANT:",
]


@pytest.fixture(scope="module")
def directories(tmp_path_factory):
    root = tmp_path_factory.mktemp("frames")
    return {
        name: llavas.write_checkpoint(root / name.replace(" ", "-"), template=text)
        for name, text in TEMPLATES.items()
    }


@pytest.fixture(scope="module")
def frames(directories):
    return {
        n: read_frame(path, load_tokenizer(path)) for n, path in directories.items()
    }


@example
def test_prompt_is_the_frame_that_llava_was_trained_in(frames):
    """Vicuna's, as the checkpoints' own file says, and Llama 2's."""
    assert frames["Vicuna"].prompt("Why?") == "USER: <image>\nWhy? ASSISTANT:"
    assert frames["Vicuna"].prompt("Why?", image=False) == "USER: Why? ASSISTANT:"
    assert frames["Llama 2"].prompt("Why?") == "<s>[INST] <image>\nWhy? [/INST]"


@law
def test_read_frame_of_chatml_is_that_of_chat(tmp_path):
    """What is recognised is written out as ever, with its system line."""
    directory = write_vocabulary(tmp_path, CHATML_WITH_IMAGES)
    tokenizer = load_tokenizer(directory)
    frame = read_frame(directory, tokenizer)
    assert frame.encode("Why?") == encode_chat(tokenizer, "Why?")
    assert frame.prompt("Why?").startswith("<|im_start|>system\nYou are a helpful")
    assert frame.prompt("Why?", image=False).count("<image>") == 0


@oracle
@pytest.mark.parametrize("name", TEMPLATES)
def test_encode_equals_transformers(compare, directories, frames, name):
    """LlavaProcessor's ids of the same conversation, its image tokens among them."""
    whole = name != "Llama 2"  # whose template takes a content for a text

    def messages(question):
        parts = [{"type": "image"}, {"type": "text", "text": question}]
        content = parts if whole else "<image>\n" + question
        return [{"role": "user", "content": content}]

    def ask(torch):
        import_torchvision()
        from transformers import (
            CLIPImageProcessorPil,
            LlavaProcessor,
            PreTrainedTokenizerFast,
        )

        directory = directories[name]
        tokenizer = PreTrainedTokenizerFast.from_pretrained(directory)
        processor = LlavaProcessor(
            CLIPImageProcessorPil.from_pretrained(directory),
            tokenizer,
            patch_size=4,
            vision_feature_select_strategy="default",
            num_additional_image_tokens=1,
            chat_template=TEMPLATES[name],
        )
        picture = np.zeros((11, 11, 3), np.uint8)
        answers = {}
        for i, question in enumerate(QUESTIONS):
            prompt = processor.apply_chat_template(
                messages(question), add_generation_prompt=True
            )
            begins = prompt.startswith("<s>")
            ids = processor(images=picture, text=prompt, add_special_tokens=not begins)[
                "input_ids"
            ]
            answers[str(i)] = np.array(ids, np.int64).ravel()
        return answers

    vocabulary = directories[name] / "tokenizer.json"
    given = (TEMPLATES[name], QUESTIONS, vocabulary.read_text())
    answers = compare.answers(ask, given)
    image = llavas.words().token_id("<image>")
    for i, question in enumerate(QUESTIONS):
        ids = frames[name].encode(question, image, llavas.PATCHES)
        assert ids == answers[str(i)].tolist()
        assert ids.count(image) == 4 and ids.count(1) == 1


hostile = st.lists(
    st.sampled_from(["<image>", "</s>", "<s>", "<im", "age>", "[/INST]", " ", "a "]),
    max_size=6,
).map("".join)


@law
@pytest.mark.parametrize("name", TEMPLATES)
@hypothesis.given(question=hostile)
def test_encode_question_cannot_become_a_marker(frames, name, question):
    """Whatever is asked, the markers are the template's: its beginning, one image."""
    ids = frames[name].encode(question)
    special = {*llavas.words().markers.values(), IMAGE_SENTINEL} - {0}
    assert [i for i in ids if i in special] == [1, IMAGE_SENTINEL]


@law
@hypothesis.given(
    stretches=st.lists(
        st.builds(
            Words, st.sampled_from(["<image>", "</s>", "a b", "<im"]), st.booleans()
        )
    )
)
def test_encode_said_marks_what_the_template_marks(stretches):
    """As often as the template says a marker by itself, whoever says it again."""
    tokenizer = llavas.words()
    ids = encode_said(tokenizer, Said(stretches))
    for marker in ("<image>", "</s>"):
        own = sum(words.text == marker for words in stretches if not words.asked)
        assert ids.count(tokenizer.token_id(marker)) == own


@law
def test_read_frame_takes_the_first_of_several_files(tmp_path):
    """In transformers' order; a template beside the tokenizer is the tokenizer's."""
    config = {"bos_token": "<s>", "chat_template": LLAMA3}
    path = llavas.write_checkpoint(tmp_path, tokenizer_config=config)
    frame = read_frame(path, load_tokenizer(path))
    assert frame.prompt("Why?").startswith("USER:")
    (path / "chat_template.jinja").write_text(LLAMA2)
    frame = read_frame(path, load_tokenizer(path))
    assert frame.prompt("Why?").startswith("<s>[INST]")


@law
def test_special_tokens_may_be_described_at_length(tmp_path):
    """A token with its flags is the same token."""
    long = {"bos_token": {"__type": "AddedToken", "content": "<s>", "special": True}}
    path = llavas.write_checkpoint(tmp_path, template=LLAMA2, tokenizer_config=long)
    frame = read_frame(path, load_tokenizer(path))
    assert frame.prompt("Why?").startswith("<s>[INST]")


@contract
@pytest.mark.parametrize(
    "template, message",
    [
        ("{{ messages[0]['content'][1]['text'] }}", "0 places for a picture, .* are 1"),
        ("<image><image>{{ messages[0].content[1].text }}", "makes 2 places"),
        ("{% for m in messages %}<image>{% endfor %}", "says the question 0 times"),
        ("<image>{{ messages[0].content[1].text ~ messages[0].content[1].text }}",
         "says the question 2 times"),
        ("<image>{{ documents }}", "asks for documents, which is not there"),
        ("{{ pad_token + messages[0].content }}", "asks for pad_token"),
        ("{{ raise_exception('Only one role') }}", "refuses this conversation: Only"),
        ("{{ messages | tojson }}", "tojson"),
        ("{{ messages[0].content", "without its }}"),
        ("", "0 places for a picture"),
    ],
)  # fmt: skip
def test_read_frame_refuses_a_template_by_its_file(tmp_path, template, message):
    """One error, which names the file and what to do without it."""
    config = {"bos_token": "<s>"}
    path = llavas.write_checkpoint(tmp_path, template=template, tokenizer_config=config)
    pattern = f"chat_template.json: the chat template .*{message}.*framed yourself"
    with pytest.raises(TokenizerError, match=pattern):
        read_frame(path, load_tokenizer(path))


@contract
def test_encode_refuses_what_cannot_be(frames):
    """A negative number of tokens, and a question that is no Unicode."""
    with pytest.raises(TokenizerError, match="cannot be negative"):
        frames["Vicuna"].encode("Why?", image_tokens=-1)
    with pytest.raises(TokenizerError, match="not valid Unicode"):
        frames["Vicuna"].encode("Why\udcff")


@contract
def test_read_frame_is_one_error_for_any_damage(tmp_path):
    """Templates with letters changed, lost and added: read, or refused as one."""
    state = random.Random(7)
    path = llavas.write_checkpoint(tmp_path)
    tokenizer = load_tokenizer(path)
    read = 0
    for _ in range(300):
        text = list(state.choice([llavas.VICUNA, LLAMA2, LLAMA3]))
        for _ in range(state.randint(1, 6)):
            place = state.randrange(len(text))
            other = state.choice(string.printable + "{{}}%%''é\0")
            text[place] = state.choice(["", other, text[place] * 2])
        (path / "chat_template.json").write_text(
            json.dumps({"chat_template": "".join(text)})
        )
        try:
            read_frame(path, tokenizer).encode("Why <image>?")
            read += 1
        except TokenizerError:
            pass
    assert 20 < read < 280, "some damage is harmless, and some is not"
