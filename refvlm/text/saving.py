"""Writing a tokenizer as transformers and the `tokenizers` library read it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from ..checkpoint import write_text
from .chat import DEFAULT_SYSTEM, END, NOTHING, START
from .subwords import Subwords
from .tokenizer import Tokenizer

if TYPE_CHECKING:
    import tokenizers

# ChatML: each turn between its markers, a picture before the text that goes with it.
TEMPLATE = (
    "{% if messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\\n" + DEFAULT_SYSTEM + "<|im_end|>\\n' }}{% endif %}"
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}"
    "{{ '<image>\\n' }}{% endif %}{% endfor %}"
    "{% for part in message['content'] %}{% if part['type'] == 'text' %}"
    "{{ part['text'] }}{% endif %}{% endfor %}{% endif %}"
    "{{ '<|im_end|>' + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


# What transformers is told of the markers that a tokenizer has.
ROLES = {
    END: "eos_token",
    NOTHING: "pad_token",
    "[UNK]": "unk_token",
    "[CLS]": "cls_token",
    "[SEP]": "sep_token",
    "[PAD]": "pad_token",
    "[MASK]": "mask_token",
    "<unk>": "unk_token",
    "<s>": "bos_token",
    "</s>": "eos_token",
    "<pad>": "pad_token",
}


def save_tokenizer(
    directory: str | Path, tokenizer: Tokenizer | Subwords | tokenizers.Tokenizer
) -> None:
    """Write tokenizer.json, and tokenizer_config.json with the ChatML template.

    A vocabulary of any kind will do, and a tokenizer of the library. Each file is
    written whole, or not at all. Oracle: transformers.AutoTokenizer,
    transformers.Qwen2Tokenizer, tokenizers.Tokenizer.from_file.
    """
    directory, tokenizer = Path(directory), Tokenizer.of(tokenizer)
    directory.mkdir(parents=True, exist_ok=True)
    write_text(directory / "tokenizer.json", tokenizer.to_json() + "\n")
    described = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        **{role: name for name, role in ROLES.items() if name in tokenizer.markers},
        **({"chat_template": TEMPLATE} if START in tokenizer.markers else {}),
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "attention_mask"],
    }
    text = json.dumps(described, indent=2)
    write_text(directory / "tokenizer_config.json", text + "\n")
