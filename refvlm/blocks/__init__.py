"""Blocks: pieces that models share, built of operators: one file for each family."""
