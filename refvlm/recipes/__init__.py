"""Recipes: how each of the models in weights/ was made, one file for each."""
