"""Generation: from logits to ids, one after the other."""

from .decoding import decode, greedy

__all__ = ["decode", "greedy"]
