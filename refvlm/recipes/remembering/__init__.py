"""Remembering: how microvlm-tiny learns what was in pictures that are gone.

    speech, pool, rows        questions as ids, pictures that are looked at once, and a
                              row of questions about one episode
    passes, finding           such a row read and answered, and where a question looks
    losses, first_memory      what is asked of the model, and where its memory begins
    ways, scores, views       what an answer sees of a memory, how much is remembered,
                              and what of it can be drawn

The recipe itself is `recipes/microvlm_tiny.py`.
"""
