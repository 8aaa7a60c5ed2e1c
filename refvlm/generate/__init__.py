"""Generation: from logits to ids, one after the other."""

from .beams import Beams, Step, beam_search
from .decoding import Confidence, decode, greedy

__all__ = ["Beams", "Confidence", "Step", "beam_search", "decode", "greedy"]
