"""Of rotary positions for longer texts: factors, lengths, and turns in order."""

from __future__ import annotations

import math

import numpy as np

from ...arguments import check_whole, is_number


def a_positive_factor(function, factor):
    """By how much the text may be longer."""
    _check_above(function, 0, factor=factor)


def a_positive_mscale(function, mscale):
    """A weight of the logarithm."""
    _check_above(function, 0, mscale=mscale)


def a_positive_attention_factor(function, attention_factor):
    """A length."""
    _check_above(function, 0, attention_factor=attention_factor)


def a_base_above_one(function, base):
    """Frequencies that fall, so that each number of turns has its pair."""
    _check_above(function, 1, base=base)


def an_original_length(function, original):
    """So many tokens as the model was trained on."""
    check_whole(function, least=1, original=original)


def lengths_are_counts(function, length):
    """A number of tokens, or one for each row."""
    if np.asarray(length).dtype.kind not in "iu" or np.less(length, 0).any():
        raise ValueError(f"{function}: length is a count of tokens, not {length!r:.60}")


def more_than_one_pair(function, dim):
    """The exponent d / (d - 2) of a single pair is none."""
    if dim < 4:
        raise ValueError(f"{function}: dim {dim} is one pair, but this needs two")


def low_turns_are_below_high(function, low_freq_factor, high_freq_factor):
    """Two numbers of turns, and room between them."""
    _check_above(function, 0, low_freq_factor=low_freq_factor)
    _check_above(function, 0, high_freq_factor=high_freq_factor)
    if not low_freq_factor < high_freq_factor:
        raise ValueError(
            f"{function}: low_freq_factor {low_freq_factor} must be below "
            f"high_freq_factor {high_freq_factor}"
        )


def betas_of_yarn(function, beta_fast, beta_slow):
    """Two numbers of turns, the faster one first."""
    _check_above(function, 0, beta_fast=beta_fast)
    _check_above(function, 0, beta_slow=beta_slow)
    if beta_fast < beta_slow:
        raise ValueError(
            f"{function}: beta_fast {beta_fast} must be at least beta_slow {beta_slow}"
        )


def _check_above(function, least, **numbers):
    for name, number in numbers.items():
        if not is_number(number) or not least < number < math.inf:
            raise ValueError(
                f"{function}: {name} must be a number above {least}, not {number!r}"
            )
