"""Tiny directories of BLIP, as transformers and its processor would save them."""

import copy

import numpy as np
from PIL import Image

from refvlm.pretrained import save
from refvlm.text import Tokenizer
from refvlm.text.word_piece.word_piece import WordPiece

from .models.test_blip import JSON
from .weights import random_weights

MARKERS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = "a red blue ring star ##s of picture and . an is the sky"
LETTERS = "abcdefghijklmnopqrstuvwxyz"
VOCABULARY = [
    *(*MARKERS, *WORDS.split(), *LETTERS[1:], *(f"##{letter}" for letter in LETTERS)),
    *("[", "]", "[DEC]", "[ENC]"),
]
SIZE = 12
PREPROCESSOR = {
    "image_processor_type": "BlipImageProcessor",
    "size": {"height": SIZE, "width": SIZE},
    "image_mean": [0.5, 0.4, 0.3],
    "image_std": [0.25, 0.25, 0.5],
}


def described(architecture):
    """The tiny BLIP of the model's spec, with words of its own."""
    config = copy.deepcopy(JSON) | {"architectures": [architecture]}
    config["text_config"] |= {
        "vocab_size": len(VOCABULARY),
        "max_position_embeddings": 40,
        "bos_token_id": VOCABULARY.index("[DEC]"),
        "sep_token_id": VOCABULARY.index("[SEP]"),
    }
    return config


def tensors(shapes, seed):
    """Random weights in float32."""
    drawn = random_weights(shapes, seed=seed)
    return {name: np.asarray(array, np.float32) for name, array in drawn.items()}


def tokenizer():
    """BERT's words in the frame [CLS] text [SEP], and the two markers of BLIP."""
    ids = {token: number for number, token in enumerate(VOCABULARY)}
    words = WordPiece(ids, [*MARKERS, "[DEC]", "[ENC]"])
    return Tokenizer.of(words).framed("[CLS]", "[SEP]")


def write(directory, config, held, preprocessor=PREPROCESSOR):
    save(
        directory,
        held,
        tokenizer(),
        config=config,
        preprocessor_config=preprocessor,
        tokenizer_config={"tokenizer_class": "BertTokenizer"},
    )
    return directory


def picture(seed, width=23, height=17):
    """Large patches of colour, not square."""
    coarse = np.random.RandomState(seed).randint(0, 256, (3, 4, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.NEAREST))


PICTURES = [picture(1), picture(2, 40, 40), picture(3, 9, 30)]
