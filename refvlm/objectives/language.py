r"""Next-token prediction: every position is asked for the token that comes next.

    tokens     <image> <image>  What   is    it    ?    a    cat   <end>
    asked for     -       -      -      -     -    a   cat  <end>    -

One forward pass answers all questions at once, since no position sees beyond itself.
Which of them count is a matter of labels alone: a label is the id of the token that
stands there, or -100 where it is not to be learnt (pictures, prompts, padding). Labels
stand where their tokens stand; the shift by one is made here, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .. import ops
from ..arguments import check_whole, is_whole
from ..autodiff import value_of
from ..shapes import ShapeError, shapes

IGNORE = -100


def language_modeling_loss(logits, labels, ignore_index=IGNORE, reduction="mean"):
    r"""The surprise at the next token:
    $-\frac1N \sum_i \log p(y_{i+1} \mid y_{\le i})$.

    logits (b, t, v), labels (b, t). N counts the labels that are not ignored,
    without the first of each row, which nobody is asked for. reduction="sum"
    leaves N out: sum over each piece of a batch, divide by the N of all.

    Source: [Cortes] 6.3, [MicroVLM-V] 7.1. Oracle: transformers' ForCausalLMLoss.

    >>> logits = np.zeros((1, 3, 4))
    >>> language_modeling_loss(logits, np.array([[7, 2, -100]]))  # log 4
    array(1.38629436)
    """
    if logits.ndim != 3 or logits.shape[:2] != labels.shape:
        raise ShapeError(
            f"language_modeling_loss: logits are {logits.shape} and labels "
            f"{labels.shape}, but need to be (b, t, v) and (b, t). Positions of a "
            "picture need labels too: pad_labels"
        )
    wanted = shift_labels(labels, ignore_index).reshape(-1)
    rows = logits.reshape(-1, logits.shape[-1])
    return ops.cross_entropy(
        rows, wanted, ignore_index=ignore_index, reduction=reduction
    )


def perplexity(logits, labels, ignore_index=IGNORE) -> float:
    r"""Among how many equally likely tokens the model might be guessing:
    $\exp\left(-\frac1N \sum_i \log p(y_{i+1} \mid y_{\le i})\right)$.

    In float64, whatever the logits are; of a loss above 709 it is inf even there.

    Source: [Cortes] 6.3. Oracle: exp of torch.nn.functional.cross_entropy.

    >>> round(perplexity(np.zeros((1, 3, 4)), np.array([[1, 2, 3]])), 9)
    4.0
    """
    loss = language_modeling_loss(value_of(logits), labels, ignore_index)
    return float(ops.exp(loss.astype(np.float64)))


def check_room(function: str, ids: np.ndarray, *numbers: int) -> None:
    """Refuse integers too narrow for these numbers: in uint16, -100 would be 65436."""
    room = np.iinfo(ids.dtype)
    for number in numbers:
        if not room.min <= number <= room.max:
            raise ValueError(
                f"{function}: {ids.dtype} cannot hold {number}: give ids as np.int64"
            )


@shapes(labels="... t of integers", returns="... t")
def shift_labels(labels, ignore_index=IGNORE):
    r"""What each position is asked for: $y_{i+1}$, and nothing of the last.

    To shift the labels and keep the logits is the same as to cut both,
    `logits[:, :-1]` against `labels[:, 1:]`, and copies no logits.

    Source: [MicroVLM-V] 7.1. Oracle: transformers' ForCausalLMLoss.

    >>> shift_labels(np.array([[5, 6, 7]]))
    array([[   6,    7, -100]])
    """
    check_room("shift_labels", labels, ignore_index)
    wanted = np.full_like(labels, ignore_index)
    wanted[..., :-1] = labels[..., 1:]
    return wanted


@shapes(labels="... t of integers")
def pad_labels(labels, n_prefix, ignore_index=IGNORE):
    r"""Labels for a text behind `n_prefix` embeddings that are no tokens: the
    positions of the picture are asked for nothing.

    The last of them is still asked for the first token of the text, by the shift.

    Source: [MicroVLM-V] 7.1, which leaves it out: its labels are 25 short.
    Oracle: transformers' LlavaForConditionalGeneration.

    >>> pad_labels(np.array([[5, 6]]), 3)
    array([[-100, -100, -100,    5,    6]])
    """
    check_whole("pad_labels", n_prefix=n_prefix)
    check_room("pad_labels", labels, ignore_index)
    prefix = np.full((*labels.shape[:-1], n_prefix), ignore_index, labels.dtype)
    return np.concatenate([prefix, labels], axis=-1)


@shapes(ids="b t of integers", returns="b t")
def mask_prompt(ids, answers: Sequence[Sequence[tuple[int, int]]], ignore_index=IGNORE):
    r"""Labels that ask for the answers alone: $y_i = x_i$ where i lies in one of the
    spans (start, stop) of its row, else ignored.

    `answers` holds a list of spans for each row, as many as the assistant has turns.
    Questions, frames, pictures and padding lie outside, and are not learnt.

    Source: [Foundations] LLaVA, stage 2. Oracle: the assistant mask of transformers'
    apply_chat_template.

    >>> mask_prompt(np.array([[9, 1, 2, 3, 9]]), [[(2, 4)]])
    array([[-100, -100,    2,    3, -100]])
    """
    if len(answers) != len(ids):
        raise ValueError(
            f"mask_prompt: {len(ids)} rows of ids, but spans for {len(answers)}"
        )
    check_room("mask_prompt", ids, ignore_index)
    labels = np.full_like(ids, ignore_index)
    for row, spans in enumerate(answers):
        for start, stop in spans:
            whole = is_whole(start) and is_whole(stop)
            if not whole or not 0 <= start <= stop <= ids.shape[1]:
                raise ValueError(
                    f"mask_prompt: the span {start} to {stop} of row {row} is not "
                    f"within its {ids.shape[1]} tokens"
                )
            labels[row, start:stop] = ids[row, start:stop]
    return labels
