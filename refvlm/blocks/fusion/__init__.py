"""Ways to join pictures and words: a file for each, and the laws they differ by."""
