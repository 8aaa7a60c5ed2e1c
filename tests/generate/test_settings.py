"""The spec of refvlm/generate/settings.py."""

import inspect
from dataclasses import fields, replace

import numpy as np
import pytest

from refvlm.generate import Settings, choosing, narrowed, sampling
from refvlm.generate.settings import FOR_SAMPLING, RIGHT
from refvlm.pretrained.generation import RESTING

from ..spec import contract, example, law, oracle


@example
def test_settings_are_greedy_until_they_are_told_otherwise():
    """One beam, nothing drawn, no rule against repetition."""
    settings = Settings()
    assert not settings.do_sample and settings.num_beams == 1
    assert settings.given(do_sample=True, temperature=0.7).temperature == 0.7


@law
def test_what_a_caller_says_wins_over_what_the_checkpoint_says():
    """And what neither says is the default."""
    settings = Settings.of({"do_sample": True, "temperature": 0.7, "top_p": None})
    assert settings.given(temperature=0.9) == Settings(do_sample=True, temperature=0.9)


@law
def test_a_checkpoint_may_say_what_is_of_no_use():
    """Qwen2's file gives a temperature; with do_sample=False it is only not used."""
    assert Settings.of({"temperature": 0.7}) == Settings()
    drawing = Settings.of({"do_sample": True, "temperature": 0.7, "top_k": 20})
    assert not drawing.given(do_sample=False).do_sample


@law
def test_a_checkpoint_that_draws_nothing_may_say_what_no_draw_takes():
    """As transformers, which warns; where it draws, it is refused."""
    idle = {"temperature": 0.0, "top_p": 0.0, "top_k": -1}
    assert Settings.of({"do_sample": False, **idle}) == Settings()
    with pytest.raises(ValueError, match="temperature must be"):
        Settings.of({"do_sample": True, **idle})


@law
def test_an_option_at_its_default_changes_nothing_and_is_no_mistake():
    """A program may pass all of them on, whatever it does."""
    neutral = {"temperature": 1.0, "top_k": 50, "length_penalty": 1.0, "min_p": None}
    assert Settings().given(**neutral) == Settings()
    assert Settings(do_sample=True, min_p=0).min_p == 0
    assert Settings(do_sample=np.True_).do_sample


@law
def test_keys_of_other_things_are_no_settings():
    """A file has ids and versions beside them."""
    assert Settings.of({"eos_token_id": 2, "transformers_version": "4"}) == Settings()


@law
def test_every_option_is_checked_and_none_is_refused_by_name():
    """What Settings has is not among what a checkpoint asks in vain."""
    names = {field.name for field in fields(Settings)}
    assert set(RIGHT) == names
    assert not names & set(RESTING) and set(FOR_SAMPLING) < names


@law
def test_every_rule_has_its_option_and_is_applied():
    """A rule of sampling.py that no option reaches would be forgotten."""
    logits = np.random.RandomState(0).randn(1, 60)
    ids = np.array([[int(logits.argmax()), 1, 1]])
    asked = {
        "temperature": 0.5,
        "top_k": 3,
        "top_p": 0.5,
        "min_p": 0.5,
        "repetition_penalty": 2.0,
        "no_repeat_ngram_size": 1,
        "min_new_tokens": 2,
    }
    rules = {
        name
        for name, value in vars(sampling).items()
        if inspect.isfunction(inspect.unwrap(value))
        and value.__module__ == sampling.__name__
        and not name.startswith("_")
    }
    assert {name.removesuffix("_size") for name in asked} == rules - {"sample"}
    plain = Settings(do_sample=True, top_k=0)
    for name, value in asked.items():
        settings = replace(plain, **{name: value})
        ruled = narrowed(choosing.ruled(logits, ids, 0, settings, [2]), settings)
        assert (ruled != logits).any(), name


@oracle
def test_names_and_defaults_are_transformers(compare):
    """Each option that has a default in GenerationConfig has the same here."""
    names = [field.name for field in fields(Settings)]

    def ask(torch):
        from transformers import GenerationConfig

        known = GenerationConfig()._get_default_generation_params()
        assert all(hasattr(GenerationConfig(), name) for name in names)
        return {n: np.array(float(known[n])) for n in names if n in known}

    defaults = compare.answers(ask, (names,))
    assert len(defaults) == len(names) - 2  # min_p and min_new_tokens have none
    for name, default in defaults.items():
        assert getattr(Settings(), name) == default, name


@contract
@pytest.mark.parametrize(
    "options, message",
    [
        ({"temperature": 0}, "above 0, not 0: .*greedy, do_sample=False"),
        ({"temperature": -1.0}, "temperature must be a number above 0, not -1.0"),
        ({"temperature": np.nan}, "temperature must be a number above 0, not nan"),
        ({"temperature": 10**400}, "temperature must be a number above 0, not 1000"),
        ({"length_penalty": 10**400}, "length_penalty must be a finite number"),
        ({"temperature": np.inf}, "temperature must be a number above 0"),
        ({"temperature": True}, "temperature must be a number above 0, not True"),
        ({"temperature": "hot"}, "temperature must be a number above 0, not 'hot'"),
        ({"top_k": -1}, "top_k must be a whole number, 0 or None for all, not -1"),
        ({"top_k": 2.0}, "top_k must be a whole number"),
        ({"top_p": 0.0}, "top_p must be a number above 0, at most 1, not 0.0"),
        ({"top_p": 1.1}, "top_p must be a number above 0, at most 1"),
        ({"min_p": 2}, "min_p must be a number from 0 to 1"),
        ({"repetition_penalty": 0}, "repetition_penalty must be a number above 0"),
        ({"no_repeat_ngram_size": -1}, "no_repeat_ngram_size must be a whole number"),
        ({"min_new_tokens": 1.5}, "min_new_tokens must be a whole number"),
        ({"num_beams": 0}, "num_beams must be a whole number from 1 to 1024"),
        ({"num_beams": 10**9}, "num_beams must be a whole number from 1 to 1024"),
        ({"length_penalty": np.nan}, "length_penalty must be a finite number"),
        ({"early_stopping": "soon"}, 'early_stopping must be True, False or "never"'),
        ({"do_sample": 1}, "do_sample must be True or False, not 1"),
        ({"num_return_sequences": 2}, "the greedy answer is one"),
        ({"num_beams": 2, "num_return_sequences": 3}, "2 beams find no more"),
        ({"do_sample": True, "num_beams": 2}, "do_sample and num_beams=2 exclude"),
    ],
)
def test_what_is_impossible_is_refused_when_it_is_made(options, message):
    """With the name of the option, what it may be, and what was given."""
    with pytest.raises(ValueError, match=message):
        Settings(**options)


@contract
@pytest.mark.parametrize(
    "options, message",
    [
        ({"temperature": 0.7}, "temperature=0.7 changes nothing without do_sample"),
        ({"top_p": 0.9}, "top_p=0.9 changes nothing without do_sample=True"),
        ({"top_k": 5}, "top_k=5 changes nothing without do_sample=True"),
        ({"length_penalty": 2.0}, "length_penalty=2.0 changes nothing without num_bea"),
        ({"early_stopping": True}, "early_stopping=True changes nothing"),
    ],
)
def test_an_option_that_changes_nothing_is_a_mistake(options, message):
    """Somebody who gives a temperature expects draws."""
    with pytest.raises(ValueError, match=message):
        Settings().given(**options)


@contract
def test_an_unknown_option_is_named_beside_the_known():
    """As for any keyword that a function lacks, a TypeError."""
    with pytest.raises(TypeError, match="no option 'temprature': it takes do_sample, "):
        Settings().given(temprature=1)
