"""Directories of tiny MicroVLMs, with random tensors: config.json, a tokenizer that
puts `<|answer|>` behind every text, and a preprocessor."""

import functools
import json

import numpy as np

from refvlm.pretrained import save
from refvlm.text import Tokenizer
from refvlm.text.tokenizer import open_engine

from . import microvlms, tiny

ANSWER = "<|answer|>"
MEMORY = {**microvlms.TOKENS, "prior_scale": 2.5}  # addresses have a length of about 1
CONTEXTS = {  # the memory's section in the wiring of the source
    "wiring": "contexts",
    "written_tokens": 1,
    "width": 24,
    "heads": 6,
    "order_layers": 2,
    "order_width": 12,
    "bidirectional": True,
    "ridge": None,
    "noise": 1e-5,
}
PREPROCESSOR = {
    **tiny.PREPROCESSOR,
    "size": {"height": microvlms.SIZE, "width": microvlms.SIZE},
    "do_center_crop": False,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.25, 0.25, 0.25],
}


@functools.cache
def words():
    """The bytes and a few markers, one of them behind every text."""
    made = tiny.byte_tokenizer()
    made.add_special_tokens([ANSWER])
    number = made.token_to_id(ANSWER)
    text = {"Sequence": {"id": "A", "type_id": 0}}
    tail = {"SpecialToken": {"id": ANSWER, "type_id": 0}}
    document = json.loads(made.to_str())
    document["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [text, tail],
        "pair": [text, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {ANSWER: {"id": ANSWER, "ids": [number], "tokens": [ANSWER]}},
    }
    return Tokenizer(open_engine(json.dumps(document)))


def described(**changes):
    """A config.json for the vocabulary of `words`, in the wiring of tokens."""
    text = {"vocab_size": len(words()) + 3, "eos_token_id": tiny.END}
    return microvlms.changed(
        **{
            **changes,
            "text_config": {
                **text,
                "max_position_embeddings": 128,
                **changes.get("text_config", {}),
            },
            "memory": {**MEMORY, **changes.get("memory", {})},
        }
    )


def write(directory, document=None, seed=5, tensors=None):
    """Write a directory; return it."""
    document = described() if document is None else document
    if tensors is None:
        tensors = microvlms.built(document, seed)[1]
    save(
        directory,
        {name: array.astype(np.float32) for name, array in tensors.items()},
        words(),
        config=document,
        preprocessor_config=PREPROCESSOR,
    )
    return directory


def drawn(count, seed=1):
    """Pictures (n, h, w, 3) in large patches of colour, so that they differ."""
    coarse = np.random.RandomState(seed).randint(0, 256, (count, 4, 4, 3), np.uint8)
    return coarse.repeat(5, axis=1).repeat(5, axis=2)
