"""`pytest --impl FILE`: the laws held against a reader's own functions."""
