r"""The frame that a checkpoint puts around a question, by its own chat template.

    frame = read_frame("llava-1.5-7b-hf", tokenizer)
    frame.prompt("What is this?")    # 'USER: <image>\nWhat is this? ASSISTANT:'
    frame.encode("What is this?")    # ids, with one -200 where the picture goes

ChatML is recognised, and written out as `chat` has it. Any other template is a program;
`templates` computes what it prints, where it understands every construct that it meets,
and refuses it where not. Vicuna's and Llama 2's are understood.

What the question holds is text, whatever it is: a marker in it is spelled out in
ordinary tokens. Oracle: transformers' LlavaProcessor.apply_chat_template.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

from ..checkpoint import is_there, read_json
from .chat import (
    CONFIG_LIMIT,
    DEFAULT_SYSTEM,
    IMAGE,
    IMAGE_SENTINEL,
    START,
    chat_prompt,
    encode_chat,
    is_chatml,
    read_templates,
    recognize_template,
)
from .errors import TokenizerError, valid_text
from .templates import program
from .templates.values import ListError, Said, TemplateError, Words
from .tokenizer import Tokenizer

SPECIAL = ("bos_token", "eos_token", "unk_token", "pad_token")


class ChatML(NamedTuple):
    """The frame of `chat`, with its system line."""

    tokenizer: Tokenizer

    def prompt(self, question: str, image: bool = True) -> str:
        """The prompt as text, to read or compare."""
        return chat_prompt(question, DEFAULT_SYSTEM, image)

    def encode(
        self, question: str, image_token: int = IMAGE_SENTINEL, image_tokens: int = 1
    ) -> list[int]:
        """The prompt as ids, with `image_tokens` times `image_token` for the image."""
        return encode_chat(self.tokenizer, question, image_token, image_tokens)


class Template(NamedTuple):
    """The frame of a template that is no ChatML; `names` are its special tokens."""

    tokenizer: Tokenizer
    program: list
    names: dict[str, str]
    origin: str

    def prompt(self, question: str, image: bool = True) -> str:
        """The prompt as text, to read or compare."""
        return str(self.said(question, image))

    def encode(
        self, question: str, image_token: int = IMAGE_SENTINEL, image_tokens: int = 1
    ) -> list[int]:
        """The prompt as ids, with `image_tokens` times `image_token` for the image.

        The tokenizer's own beginning stands before it, unless the template wrote it.
        """
        if image_tokens < 0:
            raise TokenizerError(
                f"image_tokens is {image_tokens}; it cannot be negative"
            )
        said = self.said(question, image_tokens > 0)
        image, ids = self.tokenizer.token_id(IMAGE), []
        for token in encode_said(self.tokenizer, said):
            ids += [image_token] * image_tokens if token == image else [token]
        bos = self.names.get("bos_token")
        if bos is not None and str(said).startswith(bos):
            return ids
        before, after = self.tokenizer.frame
        return [*before, *ids, *after]

    def said(self, question: str, image: bool = True) -> Said:
        """The prompt, of which each stretch knows who said it.

        A template goes through a message's content part by part, or takes it for a
        text: then the image stands before the question, with a newline between them.
        """
        words = [Words(valid_text(question), True)] if question else []
        parts: list[dict[str, Any]] = [{"type": "text", "text": Said(words)}]
        text = Said(words)
        if image:
            parts.insert(0, {"type": "image"})
            text = Said([Words(f"{IMAGE}\n", False), *words])
        problems = []
        for content in (parts, text):
            try:
                return self._printed(content, question, image)
            except TemplateError as problem:
                problems.append(problem)
        listed = isinstance(problems[0], ListError)
        raise refusal(self.origin, problems[1 if listed else 0])

    def _printed(self, content, question, image):
        """What the template prints, if it has the picture and the question once."""
        messages = [{"role": "user", "content": content}]
        names = {**self.names, "messages": messages, "add_generation_prompt": True}
        said = program.prompt(self.program, names)
        images, asked = _own(said).count(IMAGE), sum(words.asked for words in said)
        if images != image:
            raise TemplateError(
                f"makes {images} places for a picture, where there are {int(image)}"
            )
        if asked != 1 and question.strip():
            raise TemplateError(f"says the question {asked} times")
        return said


Frame = ChatML | Template


def read_frame(directory: str | Path, tokenizer: Tokenizer) -> Frame:
    """The frame of a checkpoint directory: of the files that may hold a template the
    first counts, as it does in transformers: `chat_template.jinja`,
    `chat_template.json`, `processor_config.json`, `tokenizer_config.json`.
    """
    directory = Path(directory)
    templates = read_templates(directory)
    if not templates and START not in tokenizer.markers:
        raise TokenizerError(
            f"{directory} has no chat template, and its tokenizer is not ChatML's: add "
            "the checkpoint's chat_template.jinja or chat_template.json"
        )
    if all(map(is_chatml, templates.values())):
        recognize_template(directory, tokenizer)
        return ChatML(tokenizer)
    path, template = next(iter(templates.items()))
    try:
        read = program.read(template)
    except TemplateError as problem:
        raise refusal(str(path), problem) from None
    frame = Template(tokenizer, read, _special_tokens(directory), str(path))
    frame.said("?")  # what is not understood is told at once
    return frame


def refusal(origin: str, problem: TemplateError) -> TemplateError:
    """What to say of a template, and what to do without it."""
    return TemplateError(
        f"{origin}: the chat template {problem}. Give the model ids that you have "
        "framed yourself instead"
    )


def encode_said(tokenizer: Tokenizer, said: Said) -> list[int]:
    """The ids of a prompt, in which only the template's own markers are markers.

    Where the asker's words hold none, these are the ids of the whole text: tokens may
    join the question to what stands around it. Where they do, each stretch between two
    markers of the template is encoded as plain text.
    """
    whole = str(said)
    kept = _markers(tokenizer, _own(said))
    if kept == _markers(tokenizer, whole):
        return tokenizer.encode(whole)
    ids, place = [], 0
    for start, end in kept:
        ids += tokenizer.encode(whole[place:start], markers=False)
        ids.append(tokenizer.token_id(whole[start:end]))
        place = end
    return ids + tokenizer.encode(whole[place:], markers=False)


def _own(said):
    """The template's words in their places; where the asker speaks, a character that no
    marker has."""
    return "".join(
        "\0" * len(words.text) if words.asked else words.text for words in said
    )


def _markers(tokenizer, text):
    """(start, end) of each marker of a text: from the left, the longest first."""
    names = sorted(filter(None, tokenizer.markers), key=len, reverse=True)
    if not names:
        return []
    pattern = re.compile("|".join(map(re.escape, names)))
    return [found.span() for found in pattern.finditer(text)]


def _special_tokens(directory):
    """What templates call `bos_token` and so on, as far as the tokenizer has them."""
    names: dict[str, str] = {}
    for file in ("special_tokens_map.json", "tokenizer_config.json"):
        path = directory / file
        config = read_json(path, CONFIG_LIMIT, TokenizerError) if is_there(path) else {}
        for name in SPECIAL:
            token = config.get(name)
            token = token.get("content") if isinstance(token, dict) else token
            if isinstance(token, str):
                names[name] = token
    return names
