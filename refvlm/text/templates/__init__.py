"""Chat templates: the few constructs of Jinja that they use, read and never run."""
