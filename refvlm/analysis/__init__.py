"""Analysis: what a model costs, and where it looks."""
