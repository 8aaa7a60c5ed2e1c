"""Generation: from logits to ids, one after the other."""

from .beams import Beams, Step, beam_search
from .decoding import Confidence, decode, greedy
from .sampling import (
    min_new_tokens,
    min_p,
    no_repeat_ngram,
    repetition_penalty,
    sample,
    temperature,
    top_k,
    top_p,
)

__all__ = [
    "Beams",
    "Confidence",
    "Step",
    "beam_search",
    "decode",
    "greedy",
    "min_new_tokens",
    "min_p",
    "no_repeat_ngram",
    "repetition_penalty",
    "sample",
    "temperature",
    "top_k",
    "top_p",
]
