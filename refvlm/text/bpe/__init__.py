"""Byte-pair encoding: learnt and applied to words, bytes, and words with an end."""
