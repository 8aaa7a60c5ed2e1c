"""Analysis: what a model costs, counted from its configuration."""
