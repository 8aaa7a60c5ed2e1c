"""Recipes: how each model of our own is made, one file for each.

    recipe()                                  where it starts, its batches, its loss
    publish(recipe, state, directory)         the finished model, for anyone to load
    MODEL, CONFIG                             what `refvlm.load` makes of it, and the
                                              class of its configuration
    score(model, count, seed, progress)       yields (test, heading -> share)
    limits(model, count, seed, progress)      the same, on what training never showed

That is what every file of the table offers, and all that `train` and `score` ask.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

RECIPES = {
    "fastvlm-tiny": "fastvlm_tiny",
    "clip-tiny": "clip_tiny",
    "llava-tiny": "llava_tiny",
    "textbook-tiny": "textbook_tiny",
    "microvlm-tiny": "microvlm_tiny",
    "gpt2-tiny": "gpt2_tiny",  # minutes make it, so it does not come along
}


def recipe_file(name: str) -> ModuleType:
    """The file of a recipe, imported when it is asked for."""
    if name not in RECIPES:
        raise ValueError(f"no recipe {name!r:.40}: there are {', '.join(RECIPES)}")
    return importlib.import_module(f".{RECIPES[name]}", __name__)


def scored_by(model: Any) -> ModuleType:
    """The file that says how such a model is scored: the first one of its class and
    configuration, else the first one of its class."""
    files = [recipe_file(name) for name in RECIPES]
    files = [file for file in files if isinstance(model, file.MODEL)]
    for file in files:
        if isinstance(model.config, file.CONFIG):
            return file
    if files:
        return files[0]
    raise ValueError(
        f"no recipe makes a {type(model).__name__}, so none says how it is scored: "
        f"there are {', '.join(RECIPES)}"
    )
