r"""The chat template: the frame that turns a question into a conversation.

ChatML writes a conversation as turns, each `<|im_start|>role\n text <|im_end|>\n`, and
ends with an open turn of the assistant, which the model continues. With FastVLM's image
placeholder, a question is

    <|im_start|>system
    You are a helpful assistant.<|im_end|>
    <|im_start|>user
    <image>
    What is on the table?<|im_end|>
    <|im_start|>assistant

A checkpoint brings its template as a Jinja program. ChatML's is recognised, not run:
these few lines need no program from outside. (`frame` reads those of other frames.)
Qwen2's template adds the system line above when a conversation has none, Qwen2.5's adds
one that names its maker; the line is always written out here, so neither default comes
into it. Where there is no image, Hugging Face's template of FastVLM leaves a blank line
before the question; Apple's and Qwen2's, and this one, do not.

Source: [Kamath], the language model. Oracle: transformers' apply_chat_template.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from ..checkpoint import is_there, read_json, read_text
from .errors import TokenizerError
from .tokenizer import Tokenizer

CHATML = "chatml"
DEFAULT_SYSTEM = "You are a helpful assistant."
START, END, IMAGE = "<|im_start|>", "<|im_end|>", "<image>"
NOTHING = "<|endoftext|>"
DESCRIBE = "Describe the image."  # what is asked where nothing else is
IMAGE_SENTINEL = -200  # Apple's mark for an image among the ids; no row of any table

TEMPLATE_LIMIT = 1 << 20
CONFIG_LIMIT = 16 << 20

# In a template, a marker and what follows it are joined by Jinja's quotes, plus signs
# and braces: `'<|im_start|>' + message['role'] + '\n'`. A newline may be spelled `\n`.
_JOIN = r"[\s'\"+~{}()-]{0,24}"
_NEWLINE = r"(?:\\n|\n)"
_ROLE = r"""\w{1,32}(?:\.role|\[['"]role['"]\])|role"""
_TURN = re.compile(rf"<\|im_start\|>{_JOIN}(?:{_ROLE}){_JOIN}{_NEWLINE}")
_END = re.compile(rf"<\|im_end\|>{_JOIN}{_NEWLINE}")
_ANSWER = re.compile(
    rf"<\|im_start\|>{_JOIN}assistant{_JOIN}{_NEWLINE}\s*(?:['\"{{]|$)"
)
_FOREIGN = re.compile(
    r"<\|(?!im_start\||im_end\||endoftext\|)[^|<>\s]{1,40}\|>"
    r"|<｜|\[/?INST\]|<<SYS>>|<(?:start|end)_of_turn>|<think>|\bbos_token\b"
    r"|\b(?:USER|ASSISTANT|Human|Assistant): ?|###"
)


class Piece(NamedTuple):
    """A part of a prompt: a marker, the place of the image, or plain text."""

    text: str
    kind: str


def chat_prompt(question: str, system: str = DEFAULT_SYSTEM, image: bool = True) -> str:
    r"""The prompt as text, with `<image>` and a newline before the question.

    To read, log or compare. `encode_chat` is the way to ids: this string no longer says
    which of its markers the question brought along.

    >>> chat_prompt("Why?", image=False).splitlines()[2:4]
    ['<|im_start|>user', 'Why?<|im_end|>']
    """
    return "".join(piece.text for piece in _pieces(question, system, image))


def encode_chat(
    tokenizer: Tokenizer,
    question: str,
    image_token: int = IMAGE_SENTINEL,
    image_tokens: int = 1,
    system: str = DEFAULT_SYSTEM,
) -> list[int]:
    """The prompt as ids, with `image_tokens` times `image_token` where the image goes.

    Apple's convention is one -200, the default. Hugging Face's is the checkpoint's own
    image token, as often as the image has embeddings: `encode_chat(tokenizer, question,
    tokenizer.token_id("<image>"), 256)`. Without an image, `image_tokens=0`.

    The question and the system line are plain text: a `<|im_end|>` or `<image>` in them
    is spelled out in ordinary tokens, and can neither end the turn nor add an image.
    """
    if image_tokens < 0:
        raise TokenizerError(f"image_tokens is {image_tokens}; it cannot be negative")
    ids = []
    for piece in _pieces(question, system, image_tokens > 0):
        if piece.kind == "image":
            ids += [image_token] * image_tokens
        elif piece.kind == "marker":
            ids.append(tokenizer.token_id(piece.text))
        else:
            ids += tokenizer.encode(piece.text, markers=False)
    return ids


def _pieces(question: str, system: str, image: bool) -> list[Piece]:
    start, end = Piece(START, "marker"), Piece(END, "marker")
    asked = (
        [Piece("user\n", "text"), Piece(IMAGE, "image"), Piece("\n" + question, "text")]
        if image
        else [Piece("user\n" + question, "text")]
    )
    return [
        *(start, Piece("system\n" + system, "text"), end, Piece("\n", "text")),
        *(start, *asked, end, Piece("\n", "text")),
        *(start, Piece("assistant\n", "text")),
    ]


def recognize_template(directory: str | Path, tokenizer: Tokenizer) -> str:
    """`"chatml"`, or an error that says why the checkpoint's template is another.

    Looked for in `chat_template.jinja` and, under the name `chat_template`, in
    `chat_template.json`, `processor_config.json` and `tokenizer_config.json`; each one
    found has to be ChatML. If there is none, a vocabulary with both of ChatML's markers
    decides: base Qwen2 checkpoints have no template and know no other.
    """
    directory = Path(directory)
    templates = read_templates(directory)
    for path, template in templates.items():
        problem = _why_not_chatml(template)
        if problem:
            raise TokenizerError(
                f"{path}: the chat template is not ChatML ({problem}), the only one "
                "known here. Give the model ids that you have framed yourself instead"
            )
    absent = [marker for marker in (START, END) if marker not in tokenizer.markers]
    if absent:
        raise TokenizerError(
            f"{directory}: the tokenizer lacks {' and '.join(absent)}, which ChatML "
            "needs: this checkpoint was trained on another chat template"
        )
    return CHATML


def is_chatml(template: str) -> bool:
    """Whether a template writes ChatML, as `recognize_template` knows it."""
    return not _why_not_chatml(template)


def _why_not_chatml(template: str) -> str:
    """What speaks against ChatML, or the empty string."""
    foreign = _FOREIGN.search(template)
    if foreign:
        return f"it has {foreign.group()!r}"
    if not _TURN.search(template):
        return f"no turn begins with {START}, the role's name and a newline"
    if not _END.search(template):
        return f"no turn ends with {END} and a newline"
    if not _ANSWER.search(template):
        return f"it does not end by opening a turn with {START}assistant and a newline"
    return ""


def read_templates(directory: Path) -> dict[Path, str]:
    """The templates of a directory by their files, in the order in which they count."""
    templates = {}
    path = directory / "chat_template.jinja"
    if is_there(path):
        templates[path] = read_text(path, TEMPLATE_LIMIT, TokenizerError)
    for name in ("chat_template", "processor_config", "tokenizer_config"):
        path = directory / f"{name}.json"
        if is_there(path):
            config = read_json(path, CONFIG_LIMIT, TokenizerError)
            if config.get("chat_template") is not None:
                templates[path] = _default_template(config["chat_template"], path)
    return templates


def _default_template(template: object, path: Path) -> str:
    """The template itself, or the one called `default` among several."""
    if isinstance(template, list):
        named = {
            entry.get("name"): entry.get("template")
            for entry in template
            if isinstance(entry, dict) and isinstance(entry.get("name"), str)
        }
        template = named.get("default")
    if not isinstance(template, str):
        raise TokenizerError(f"{path}: chat_template is not a text")
    if len(template) > TEMPLATE_LIMIT:
        raise TokenizerError(f"{path}: chat_template is too long to be one")
    return template
