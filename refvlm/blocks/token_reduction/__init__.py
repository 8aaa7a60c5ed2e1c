"""Fewer tokens: by score, by likeness, by a tree, by region, and only for a while."""
