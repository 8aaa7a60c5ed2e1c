"""A FastVLM small enough to build on a page: random weights, a tokenizer of its own.

Nothing here has been trained. The weights are drawn so that a signal keeps its size
through every layer, which is all that is needed to follow shapes and prove laws.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

MARKERS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>")

PREPROCESSOR = {
    "image_processor_type": "CLIPImageProcessor",
    "do_resize": True,
    "size": {"shortest_edge": 1024},
    "resample": 3,
    "do_center_crop": True,
    "crop_size": {"height": 1024, "width": 1024},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.0, 0.0, 0.0],
    "image_std": [1.0, 1.0, 1.0],
}

CHATML = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + "
    "message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

TEXT = """
You are a helpful assistant. Describe the image. What is in this picture? What colour
is the cat? The system answers the user: the assistant describes the image in words.
The cat sits on the table beside the window. A tabby cat looks at the camera. The cat
has green eyes, grey stripes and white whiskers. A cup of coffee stands on the wooden
table. The spoon lies beside the cup. Light falls from the window onto the table. The
picture shows a cat, a cup, a spoon and a table. There is a cat in the picture.
"""


def random_weights(
    shapes: Mapping[str, tuple[int, ...]], seed: int = 0, dtype=np.float32
) -> dict[str, np.ndarray]:
    """name -> array. Matrices keep the variance of what they multiply; convolutions
    double it, for the activation that halves it; scales scatter around 1, biases
    around 0.
    """
    draw = np.random.RandomState(seed).standard_normal  # the same on every machine

    def tensor(name, shape):
        kind, noise = name.rpartition(".")[2], draw(shape)
        if kind == "running_var":
            return 0.5 + np.abs(noise)
        if kind == "gamma":  # of a branch that is added: a small step each
            return 0.3 + 0.03 * noise
        if len(shape) == 1 and kind == "weight":
            return 1 + 0.1 * noise
        if len(shape) < 2 or kind in ("bias", "running_mean"):
            return 0.1 * noise
        if name.endswith("embed_tokens.weight"):
            return 0.3 * noise
        gain = 2 if len(shape) == 4 else 1
        return noise * (gain / np.prod(shape[1:])) ** 0.5

    return {name: tensor(name, shape).astype(dtype) for name, shape in shapes.items()}


def tokenizer(vocabulary: int = 400) -> tokenizers.Tokenizer:
    """Byte-level BPE, learnt from `TEXT`: 256 bytes, merges of them, four markers."""
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - len(MARKERS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    backend.train_from_iterator(TEXT.strip().split("\n"), trainer)
    backend.add_special_tokens(list(MARKERS))
    return backend
