"""How the words of an answer are chosen: the options that `describe`, `ask` and
`complete` share."""

from __future__ import annotations

import argparse
import secrets
from typing import Any

from ..generate.settings import FOR_SAMPLING
from .arguments import beams, fraction, temperature, whole


def add_rules(command: argparse.ArgumentParser) -> None:
    """--temperature, --top-k, --top-p, --min-p, --num-beams and --seed."""
    rules = command.add_argument_group(
        "how words are chosen",
        "The likeliest one each time, unless the checkpoint's generation_config.json "
        "says another way. Any of the first four draws them at random instead.",
    )
    rules.add_argument(
        "--temperature",
        type=temperature,
        metavar="T",
        help="divide the scores by T: below 1 bolder, above 1 more varied (default: 1)",
    )
    rules.add_argument(
        "--top-k",
        type=whole,
        metavar="K",
        help="draw from the K likeliest tokens only; 0 keeps all (default: 50)",
    )
    rules.add_argument(
        "--top-p",
        type=fraction,
        metavar="P",
        help="draw from the fewest likeliest tokens that have the probability P "
        "together (default: 1, from all)",
    )
    rules.add_argument(
        "--min-p",
        type=fraction,
        metavar="P",
        help="draw from tokens at least P times as likely as the likeliest (default: "
        "any)",
    )
    rules.add_argument(
        "--num-beams",
        type=beams,
        metavar="N",
        help="keep the N likeliest beginnings side by side, and answer with the best "
        "at the end; 1 is the likeliest word each time (default: 1)",
    )
    rules.add_argument(
        "--seed",
        type=whole,
        metavar="N",
        help="of the draws: the same seed gives the same answer (default: another each "
        "time, told by --verbose and --json)",
    )


def contradiction(options, settings) -> str | None:
    """What is wrong with the options together, for a model of these settings."""
    drawing = [name for name in FOR_SAMPLING if getattr(options, name) is not None]
    beams = options.num_beams or 1
    if beams > 1 and (drawing or options.seed is not None):
        other = _spelled(drawing[0] if drawing else "seed")
        return (
            f"--num-beams and {other} exclude each other: beams are searched, not "
            "drawn; give one of the two"
        )
    draws = drawing or (settings.do_sample and options.num_beams is None)
    if options.seed is not None and not draws:
        return (
            "--seed changes nothing where nothing is drawn: give --temperature, "
            "--top-k, --top-p or --min-p too"
        )
    return None


def rules(options, settings) -> tuple[dict[str, Any], int | None]:
    """(options of `generate`, the seed of the draws or None where none are made).

    Who names beams wants a search, and who names a rule of drawing a draw, whatever the
    checkpoint does by itself; and one answer is printed.
    """
    given: dict[str, Any] = {"num_return_sequences": 1}
    if options.num_beams is not None:
        given |= {"num_beams": options.num_beams, "do_sample": False}
    drawing = {name: getattr(options, name) for name in FOR_SAMPLING}
    drawing = {name: value for name, value in drawing.items() if value is not None}
    if drawing:
        given |= {"num_beams": 1, "do_sample": True, **drawing}
    if not settings.given(**given).do_sample:
        return given, None
    return given, secrets.randbits(32) if options.seed is None else options.seed


def _spelled(name):
    return "--" + name.replace("_", "-")
