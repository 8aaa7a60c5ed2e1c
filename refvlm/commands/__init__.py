"""The commands: one file for each family, each with its part of the parser."""
