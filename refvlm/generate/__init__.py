"""Generation: from logits to ids, one after the other."""

from .beams import Beams, Step, beam_search
from .choosing import Chooser, Randomness, narrowed, ruled
from .decoding import Confidence, Watch, decode, greedy
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
from .settings import Settings
from .speaking import Reading, speak

__all__ = [
    "Beams",
    "Chooser",
    "Confidence",
    "Randomness",
    "Reading",
    "Settings",
    "Step",
    "Watch",
    "beam_search",
    "decode",
    "greedy",
    "min_new_tokens",
    "min_p",
    "narrowed",
    "no_repeat_ngram",
    "repetition_penalty",
    "ruled",
    "sample",
    "speak",
    "temperature",
    "top_k",
    "top_p",
]
