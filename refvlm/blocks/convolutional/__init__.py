"""Pieces of convolutional towers: a file for each, with its shapes and how it folds."""
