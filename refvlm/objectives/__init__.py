"""Objectives: what a model is asked to be good at, as a loss of what it puts out."""
