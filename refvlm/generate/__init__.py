"""Generation: from logits to ids, one after the other."""

from .decoding import Confidence, decode, greedy

__all__ = ["Confidence", "decode", "greedy"]
