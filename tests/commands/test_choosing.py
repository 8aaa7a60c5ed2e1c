"""The spec of how `describe` and `ask` choose words (refvlm/commands/choosing.py)."""

import argparse
import json
from pathlib import Path

import pytest

from refvlm import cli
from refvlm.commands import choosing
from refvlm.generate import Settings

from ..spec import contract, law

PICTURE = str(Path(__file__).parents[2] / "book" / "images" / "shapes.png")


def told(capsys, *arguments):
    """The JSON object of `describe` with these options."""
    assert cli.main(["describe", PICTURE, "--json", *map(str, arguments)]) == 0
    return json.loads(capsys.readouterr().out)


@law
def test_the_same_seed_says_the_same(capsys):
    """And so does a seed that was told, given again."""
    hot = "--temperature", 3, "--top-k", 0
    one, other = (told(capsys, *hot, "--seed", 1) for _ in range(2))
    assert one["text"] == other["text"] and one["seed"] == 1
    fresh = told(capsys, *hot)
    assert told(capsys, *hot, "--seed", fresh["seed"])["text"] == fresh["text"]


@law
def test_seed_0_is_a_seed(capsys):
    """Zero is not nothing."""
    hot = "--temperature", 3, "--top-k", 0, "--seed", 0
    one, other = (told(capsys, *hot) for _ in range(2))
    assert one["text"] == other["text"] and one["seed"] == 0


@pytest.mark.parametrize(
    "said, arguments, draws",
    [
        ({"do_sample": True}, [], True),
        ({"do_sample": True}, ["--num-beams", "1"], False),
        ({"do_sample": True, "num_return_sequences": 3}, ["--num-beams", "2"], False),
        ({"num_beams": 4}, ["--temperature", "0.8"], True),
        ({"num_beams": 4, "num_return_sequences": 4}, ["--num-beams", "2"], False),
        ({"num_beams": 4, "num_return_sequences": 4}, ["--num-beams", "1"], False),
    ],
)
@law
def test_options_win_over_what_the_checkpoint_does_by_itself(said, arguments, draws):
    """Who names beams wants a search, who names a temperature a draw."""
    parser = argparse.ArgumentParser()
    choosing.add_rules(parser)
    options, settings = parser.parse_args(arguments), Settings.of(said)
    assert choosing.contradiction(options, settings) is None
    given, seed = choosing.rules(options, settings)
    made = settings.given(**given)
    assert made.do_sample is draws and (seed is not None) is draws
    assert made.num_return_sequences == 1


@law
def test_a_temperature_changes_what_is_said(capsys):
    """Of ten seeds at a high one, most differ from the likeliest answer."""
    greedy = told(capsys)
    assert greedy["seed"] is None
    hot = [
        told(capsys, "--temperature", 3, "--top-k", 0, "--seed", n)["text"]
        for n in range(10)
    ]
    assert sum(text != greedy["text"] for text in hot) > 5


@law
@pytest.mark.parametrize(
    "rule", [("--top-k", 1), ("--top-p", 1e-9), ("--min-p", 1)], ids=lambda r: r[0]
)
def test_a_rule_that_keeps_one_token_is_greedy(capsys, rule):
    """Each of the three, at its narrowest."""
    assert told(capsys, *rule, "--temperature", 2)["text"] == told(capsys)["text"]


@law
def test_beams_answer_at_the_end(capsys):
    """Without a probability of single words, and without a rate."""
    answer = told(capsys, "--num-beams", 3)
    assert answer["text"] and answer["confidence"] is None and answer["seed"] is None
    assert answer["tokens_per_second"] is None
    assert cli.main(["describe", PICTURE, "--num-beams", "3"]) == 0
    assert capsys.readouterr().out.strip() == answer["text"]


@law
def test_verbose_tells_the_seed(capsys):
    """So that an answer that was liked can be had again."""
    assert cli.main(["describe", PICTURE, "--top-p", "0.9", "--verbose"]) == 0
    assert "drawn with --seed " in capsys.readouterr().err


@contract
@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--temperature", "0"], "--temperature: a number above 0, not '0'"),
        (["--temperature", "nan"], "--temperature: a number above 0, not 'nan'"),
        (["--temperature", "hot"], "--temperature: a number above 0, not 'hot'"),
        (["--top-p", "1.5"], "--top-p: a number above 0, at most 1, not '1.5'"),
        (["--min-p", "0"], "--min-p: a number above 0, at most 1, not '0'"),
        (["--top-k", "-1"], "--top-k: "),
        (["--temperature", "0"], "for the likeliest words, --num-beams 1"),
        (["--num-beams", "0"], "--num-beams: a whole number from 1 up"),
        (["--num-beams", "1025"], "--num-beams: at most 1024, not '1025'"),
        (["--seed", "x"], "--seed: a whole number from 0 up"),
    ],
)
def test_a_number_that_is_none_is_wrong_usage(capsys, arguments, message):
    """Told by argparse, before anything is opened."""
    with pytest.raises(SystemExit) as left:
        cli.main(["describe", PICTURE, *arguments])
    assert left.value.code == 2 and message in capsys.readouterr().err


@contract
@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--num-beams", "2", "--top-p", "0.9"], "--num-beams and --top-p exclude"),
        (["--num-beams", "2", "--seed", "1"], "--num-beams and --seed exclude each"),
        (["--seed", "1"], "--seed changes nothing where nothing is drawn"),
    ],
)
def test_options_that_contradict_one_another_are_wrong_usage(
    capsys, arguments, message
):
    """In one sentence that says what to give instead."""
    assert cli.main(["describe", PICTURE, *arguments]) == 2
    out, error = capsys.readouterr()
    assert out == "" and message in error and error.count("\n") == 1
