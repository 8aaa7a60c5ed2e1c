"""The spec of refvlm/recipes/__init__.py: the table, and what every recipe offers."""

import inspect

import pytest

import refvlm
from refvlm.pretrained import shipped_model
from refvlm.pretrained.shipped import SHIPPED
from refvlm.recipes import RECIPES, recipe_file, scored_by

from ..spec import contract, law


@law
def test_models_that_come_along_have_recipes():
    """What lies in weights/ is what `load` knows by name, and was made by a recipe."""
    assert {path.name for path in shipped_model().parent.iterdir()} == {*SHIPPED}
    assert {*SHIPPED} <= {*RECIPES}


@law
@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_offers_what_train_and_score_ask(name):
    """By the same names and with the same arguments, so that no command asks which."""
    file = recipe_file(name)
    assert parameters(file.publish) == ["recipe", "state", "directory"]
    assert parameters(file.score) == ["model", "count", "seed", "progress"]
    assert file.recipe().name == name


def parameters(function):
    return [*inspect.signature(function).parameters]


@law
@pytest.mark.parametrize("name", SHIPPED)
def test_every_model_is_scored_by_its_own_recipe(name):
    """What a folder holds says how it is scored."""
    assert scored_by(refvlm.load(shipped_model(name))) is recipe_file(name)


@contract
def test_recipes_refuse_what_is_in_no_table():
    """Both errors name what there is."""
    with pytest.raises(ValueError, match=f"there are {', '.join(RECIPES)}"):
        recipe_file("gpt-5")
    with pytest.raises(ValueError, match="no recipe makes a dict"):
        scored_by({})
