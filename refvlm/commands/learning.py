"""`train` and `score`: make the weights that come along, and count what they get right.

python -m refvlm train fastvlm-tiny         # an hour on two cores; Ctrl-C is fine
python -m refvlm score weights/fastvlm-tiny # the accuracies on its card
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

from ..recipes import RECIPES, recipe_file
from ..terminal import complain, end_line, is_terminal, show_line
from .arguments import positive, whole
from .interrupting import as_ctrl_c
from .outputs import new_file, unwritable
from .status import EXITS, GOOD

PATIENCE = 3.0  # seconds between two reports on a terminal
WIDTH = 36  # of the headings in a table of scores, of whatever model


def add_train(commands):
    """The parser of `train RECIPE`."""
    train = commands.add_parser(
        "train",
        help="train a tiny model from nothing",
        description="Train a tiny model from random weights: on two cores about 70 "
        "minutes for fastvlm-tiny, 45 for microvlm-tiny, 3 for gpt2-tiny, and 20 for "
        "each of the others. The state of the run is saved as it goes: interrupted, "
        "the same command continues it. At the end the finished model is written. No "
        "other file that is there is touched.",
        epilog=EXITS,
    )
    train.add_argument("recipe", choices=RECIPES, help="what to train")
    train.add_argument(
        "--run",
        dest="directory",
        metavar="DIR",
        type=Path,
        help="where the state of the run is kept (default: runs/RECIPE)",
    )
    train.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        help="where the finished model is written, a new or an empty folder (default: "
        "model, in the run's DIR)",
    )
    train.add_argument(
        "--stop",
        type=whole,
        metavar="N",
        help="stop after N steps in all, to go on another time (default: train to the "
        "end)",
    )
    train.set_defaults(run=_train)


def _train(options) -> int:
    from ..train.loop import total_steps
    from ..train.running import STATE, make_directory, run
    from ..train.state import saved_step

    directory = options.directory or Path("runs") / options.recipe
    begun = saved_step(directory / STATE, options.recipe)
    out = _model_folder(directory, options.out, begun is None)
    make_directory(directory)
    file = recipe_file(options.recipe)
    recipe = file.recipe()
    before = "" if begun is None else f", from step {begun} of {total_steps(recipe)}"
    complain(
        f"training {options.recipe} in {directory}{before}; Ctrl-C saves and stops"
    )
    try:
        with as_ctrl_c("SIGTERM", "SIGHUP"):
            state = run(
                recipe,
                directory,
                lambda progress: show_line(str(progress)),
                options.stop,
                patience=PATIENCE if is_terminal(sys.stderr) else math.inf,
            )
    except KeyboardInterrupt:
        end_line()
        if (directory / STATE).exists():
            complain(f"saved: the same command continues from {directory}")
        else:
            complain("nothing was saved yet: the same command begins anew")
        raise
    end_line()
    if state.step < total_steps(recipe):
        complain(
            f"stopped after step {state.step}: the same command without --stop "
            f"{options.stop} continues"
        )
        return GOOD
    file.publish(recipe, state, out)
    print(out)
    return GOOD


def _model_folder(directory, out, is_new):
    """Where the model goes: a new or an empty folder that can be written, but for a
    run's own, which is written again."""
    for folder in (directory, out or directory):
        if why := unwritable(folder):
            raise ValueError(f"{folder} cannot be written ({why}): give another folder")
    folder = out or directory / "model"
    is_own = out is None and not is_new
    if folder.is_dir() and any(folder.iterdir()) and not is_own:
        raise ValueError(f"{folder} is not empty: give another folder for the model")
    return folder


def add_score(commands):
    """The parser of `score DIR`."""
    score = commands.add_parser(
        "score",
        help="count what a model gets right about fresh scenes",
        description="Draw scenes that no training has seen, ask the model about "
        "them, and count what is right. A thousand scenes of each kind take about four "
        "minutes with fastvlm-tiny, half a minute with clip-tiny and a minute with a "
        "gpt2-tiny or microvlm-tiny; the limits take twice as long.",
        epilog=EXITS,
    )
    score.add_argument(
        "model",
        nargs="?",
        metavar="DIR",
        help="a model that knows scenes (default: fastvlm-tiny, which comes along)",
    )
    score.add_argument(
        "--limits",
        action="store_true",
        help="count on scenes and questions unlike those of training, where the model "
        "fails; shares come with their least and largest over five seeds",
    )
    score.add_argument(
        "--scenes",
        type=positive,
        default=1000,
        metavar="N",
        help="how many scenes of each kind, and for a CLIP's retrieval the next whole "
        "hundred (default: %(default)s)",
    )
    score.add_argument(
        "--seed",
        type=whole,
        default=1,
        metavar="N",
        help="of the scenes (default: %(default)s)",
    )
    score.add_argument(
        "--json",
        metavar="FILE",
        type=new_file,
        help="write the counts to a new file too, as {seed, scenes, found: {test: "
        "{heading: [right, asked]}}} (default: none)",
    )
    score.set_defaults(run=_score)


def _score(options) -> int:
    from .. import pretrained
    from ..checkpoint import write_text
    from ..metrics.shares import table
    from ..recipes import scored_by

    model = pretrained.load(options.model or pretrained.shipped_model())
    count, seed, found = options.scenes, options.seed, {}
    file = scored_by(model)
    count_all = file.limits if options.limits else file.score
    tests = count_all(model, count, seed, _show_scenes)
    for test, shares in tests:
        end_line()
        print(
            test, *(f"  {line}" for line in table(shares, WIDTH)), sep="\n", flush=True
        )
        found[test] = shares
    if options.json:
        told = {"seed": seed, "scenes": count, "found": found}
        write_text(options.json, json.dumps(told, indent=1) + "\n")
    return GOOD


def _show_scenes(done, of):
    show_line(f"{done} of {of} scenes")
