"""Models small enough to make on a page: random weights, a tokenizer, a few steps of
descent.

The weights are drawn so that a signal keeps its size through every layer, which is
all that is needed to follow shapes and prove laws.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from refvlm.autodiff import value_and_grad
from refvlm.checkpoint import Weights

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
is it? The system answers the user: the assistant describes the image in words. A tabby
cat looks to the right. The cat is grey and brown, with green eyes. A tabby cat looks
at the picture. An espresso in a red cup on a wooden table. The cup is red, and the
table brown. A red cup on the table. The spoon lies beside the cup. What colour is the
cup? The picture shows a tabby cat, a cup of espresso, a spoon and a wooden table.
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


def descend(
    loss_of: Callable[[int], Callable],
    weights: Weights,
    steps: int,
    rate: float,
    trainable: Iterable[str] | None = None,
) -> tuple[Weights, list[float]]:
    """Adam: the weights after `steps` steps, and the loss at each.

    `loss_of(step)` gives the loss of that step, a function of the weights.
    """
    names = list(weights if trainable is None else trainable)
    mean, square = dict.fromkeys(names, 0), dict.fromkeys(names, 0)
    losses = []
    for step in range(1, steps + 1):
        loss, slopes = value_and_grad(loss_of(step), trainable=names)(weights)
        losses.append(float(loss))
        moved = {}
        for name in names:
            mean[name] = 0.9 * mean[name] + 0.1 * slopes[name]
            square[name] = 0.98 * square[name] + 0.02 * slopes[name] ** 2
            size = np.sqrt(square[name] / (1 - 0.98**step)) + 1e-8
            change = rate * mean[name] / (1 - 0.9**step) / size
            moved[name] = (weights[name] - change).astype(weights[name].dtype)
        weights = weights.replace(moved)
    return weights, losses
