"""The spec of `pytest --impl`: a file from anywhere, and an answer in words."""

import os
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from refvlm import ops

from .impl.homes import HOMES, TESTS, functions_of, home_of
from .impl.wording import of_difference
from .spec import house, law

ROOT = Path(__file__).parents[1]

GOOD = """
import numpy as np

def softmax(scores, dim=-1):
    largest = scores.max(axis=dim, keepdims=True, initial=-np.inf)
    weights = np.exp(scores - largest)
    return weights / weights.sum(axis=dim, keepdims=True)

def softmax_vjp(d_out, out, dim):
    return out * (d_out - (d_out * out).sum(axis=dim, keepdims=True))
"""
UNSHIFTED = GOOD.replace("scores - largest", "scores")
STIFF = """
def ewc_penalty(parameters, anchors, fisher, strength=1.0):
    moved = [(parameters[name] - anchors[name]) ** 2 * fisher[name] for name in anchors]
    return strength * sum(each.sum() for each in moved)
"""  # twice too stiff, and traced by one of its laws
WRONG_SLOPE = GOOD.replace("return out * (d_out - ", "return out * (d_out + ")
NARROW = "-k", "huge or softmax_derivative"
CLIMB = """
def linear_warmup(step, peak, warmup):
    return peak * min(1, step / warmup)
"""
FOLD = """
import numpy as np

def conv2d(x, *args, **options):
    return np.zeros(3)

def fold_batch_norm(
    kernel, conv_bias, running_mean, running_var, weight, bias, eps=1e-5
):
    scale = weight / np.sqrt(running_var + eps)
    offset = (0 if conv_bias is None else conv_bias) - running_mean
    return kernel * scale[:, None, None, None], bias + scale * offset
"""
FOLD_FILES = (
    "tests/ops/test_convolution.py",
    "tests/blocks/convolutional/test_reparameterization.py",
)
FILE = "tests/ops/test_probability.py"


def run(*command, cwd=ROOT, path=()):
    """The command, the words that it says, and its status."""
    variables = {**os.environ, "COLUMNS": "80"}
    places = [*map(str, path), variables.get("PYTHONPATH", "")]
    variables["PYTHONPATH"] = os.pathsep.join(filter(None, places))
    done = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env=variables,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.returncode, done.stdout + done.stderr


def held(source, folder, *options, cwd=ROOT):
    """What `python -m pytest --impl=FILE` says of a source."""
    file = folder / "mine.py"
    file.write_text(source)
    command = sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"
    return run(*command, f"--impl={file}", *options, cwd=cwd)


@pytest.mark.parametrize(
    "source, status, said",
    [
        (GOOD, 0, ["holds   derivative"]),
        (UNSHIFTED, 1, ["BREAKS  law", "A score of 1000", "subtract the largest"]),
        (WRONG_SLOPE, 1, ["BREAKS  derivative", "the gradient of softmax(float64"]),
        ("def sofmax(x): pass", 4, ["sofmax: did you mean softmax?"]),
        ("import nothing_of_this_name", 4, ["line 1: ModuleNotFoundError"]),
        ("def softmax(x:\n  pass", 4, ["mine.py, line 1: '(' was never closed"]),
        ("\nexit()", 4, ["line 2: it leaves Python while it is read"]),
        ("", 4, ["mine.py, which has no function of its own"]),
    ],
    ids=["good", "unshifted", "slope", "name", "import", "syntax", "exit", "empty"],
)
@law
def test_impl_holds_the_laws_against_a_readers_file(tmp_path, source, status, said):
    """A right softmax passes; a wrong one fails on the law that it breaks, in words."""
    got, told = held(source, tmp_path, *NARROW, FILE)
    assert got == status, told
    for words in said:
        assert words in told


@law
def test_impl_tells_of_functions_that_a_law_traces(tmp_path):
    """A gradient is asked through the tape: what came may be a Variable."""
    got, told = held(STIFF, tmp_path)
    assert got == 1 and "expected: 2." in told and "came:     4." in told, told


@pytest.mark.parametrize(
    "body, said",
    [
        ("return probability.softmax(scores, dim)", "nothing of yours is checked"),
        ("return ops.softmax(scores, dim)", "it calls itself, without end"),
        ("print(7); return probability.log_softmax(scores, dim)", "It prints while"),
        ("import sys; sys.exit(1)", "SystemExit: it leaves Python"),
        ("probability.softmax", "nothing of yours is checked"),
        ("scores.max()", "It returns nothing: is there a `return`?"),
    ],
    ids=["borrowed", "itself", "prints", "leaves", "named", "nothing"],
)
@law
def test_impl_tells_what_is_no_matter_of_numbers(tmp_path, body, said):
    """What a newcomer's function does beside computing is said in one sentence."""
    source = (
        "from refvlm import ops\nfrom refvlm.ops import probability\n"
        f"def softmax(scores, dim=-1):\n    {body}\n"
    )
    _, told = held(source, tmp_path, "-k", "sums_to_one", FILE)
    assert said in " ".join(told.split())


@law
def test_impl_reports_on_one_screen_and_cuts_no_sentence(tmp_path):
    """All laws broken: under 60 lines, whole sentences, the call, and no traceback."""
    zeros = "import numpy as np\ndef softmax(scores, dim=-1):\n    return scores * 0\n"
    _, told = held(zeros, tmp_path)
    lines = told.splitlines()
    assert len(lines) < 60
    assert not [line for line in lines if len(line) > 80]
    words = " ".join(told.split())
    assert "Adding the same number to every score changes nothing: it cancels." in words
    assert "asked: softmax([0. , 0.693147, 1.609438] (float64))" in words
    assert "expected: [0.125, 0.25 , 0.625] (float64) came: [0., 0., 0.]" in words
    assert "mine.py:" not in told
    _, asked = held(zeros, tmp_path, "--tracebacks", "-k", "sums_to_one")
    assert "AssertionError" in asked and "test_probability.py:" in asked


@law
def test_impl_shows_a_place_that_differs():
    """Of eight, seven are as they should be, two of them infinite or no number."""
    expected = np.array([-np.inf, np.nan, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0])
    for wrong in (-np.inf, np.nan, 6.5):
        came = expected.copy()
        came[6] = wrong
        assert of_difference(expected, came) == ("6 at [6]", f"{wrong} at [6]")


@law
def test_impl_may_be_given_again_and_narrowed(tmp_path):
    """Two files, one process; -k and -m choose among the laws of both."""
    other = tmp_path / "other.py"
    other.write_text("import numpy as np\ndef relu(x):\n    return np.maximum(x, 0)\n")
    status, told = held(GOOD, tmp_path, f"--impl={other}", "-m", "example")
    assert status == 0
    assert "softmax: 2 of 2" in told and "relu: 1 of 1" in told


@law
def test_impl_of_a_folder_wants_a_file_in_it(tmp_path):
    """It is there, so nobody says that it is not."""
    command = sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"
    status, told = run(*command, f"--impl={tmp_path}", FILE)
    assert status == 4 and f"{tmp_path} is a folder: name a file in it" in told


@law
def test_laws_of_a_file_are_printed_and_not_asked(tmp_path):
    """With both options, the outline of what would be asked, and no verdict."""
    status, told = held(GOOD, tmp_path, "--laws")
    assert status == 0 and "A higher score never gets a lower probability." in told
    assert "no law was asked" not in told and "your implementation" not in told


@pytest.mark.parametrize("others", ["", " or (conv2d and example)"])
@law
def test_impl_blames_nobody_for_the_mistakes_of_another(tmp_path, others):
    """A wrong conv2d stands in for its own laws: not for those of what calls it."""
    words = f"fold_batch_norm{others}"
    status, told = held(FOLD, tmp_path, "-k", words, *FOLD_FILES)
    of_fold = told.partition("fold_batch_norm: ")[2]
    assert "holds" in of_fold and "BREAKS" not in of_fold, told
    assert status == bool(others)
    assert ("conv2d: no law was asked" in told) == (not others)
    assert ("conv2d: 0 of " in told) == bool(others)


@house
def test_operators_have_laws_enough_to_be_judged_by():
    """An example and a law, or an oracle: with less, a wrong function would pass."""
    kinds = {name: set() for name in functions_of(ops)}
    for file in sorted((TESTS / "ops").glob("test_*.py")):
        if file.stem.startswith("test_every_"):
            continue  # what holds for all of them says little of each
        for name, test in vars(import_module(f"tests.ops.{file.stem}")).items():
            for subject in subjects_of(name, test, kinds):
                kinds[subject] |= {mark.name for mark in test.pytestmark}
    thin = [
        name
        for name, has in kinds.items()
        if "oracle" not in has and not {"example", "law"} <= has
    ]
    assert thin == []


def subjects_of(name, test, known):
    """The operators that a test is about: its parameter `name`, or its title."""
    if not name.startswith("test_") or not hasattr(test, "pytestmark"):
        return []
    for mark in test.pytestmark:
        if mark.name == "parametrize" and mark.args[0].split(",")[0] == "name":
            rows = [getattr(row, "values", row) for row in mark.args[1]]
            named = [row if isinstance(row, str) else row[0] for row in rows]
            return [subject for subject in named if subject in known]
    title = name.removeprefix("test_") + "_"
    fitting = [subject for subject in known if title.startswith(f"{subject}_")]
    return sorted(fitting, key=len)[-1:]


@law
def test_impl_replaces_functions_of_every_home(tmp_path):
    """One that answers nothing takes the place of ours, and breaks its laws."""
    examples = {
        "relu": "ops/test_activation.py",
        "bpe_train": "text/bpe/test_byte_pairs.py",
        "fold_batch_norm": "blocks/convolutional/test_reparameterization.py",
        "lora_linear": "blocks/test_adapters.py",
        "mlp_connector": "blocks/test_connectors.py",
        "to_episodes": "blocks/test_episodes.py",
        "gated_fusion": "blocks/fusion/test_merging.py",
        "ridge_address": "blocks/episodic_memory/test_addressing.py",
        "attention_with_memory": "blocks/episodic_memory/test_attention.py",
        "gate_bias": "blocks/episodic_memory/test_gates.py",
        "make_room": "models/test_splicing.py",
        "weighted_sum": "objectives/test_combining.py",
        "ewc_penalty": "objectives/test_continual.py",
        "info_nce": "objectives/test_contrastive.py",
        "hint_loss": "objectives/test_distillation.py",
        "shift_labels": "objectives/test_language.py",
        "mask_tokens": "objectives/test_masked.py",
        "memory_kl": "objectives/test_remembering.py",
        "mean_and_error": "metrics/test_seeds.py",
        "zero_shot": "metrics/test_zero_shot.py",
        "sgd_step": "train/test_optimizers.py",
        "linear_warmup": "train/test_schedules.py",
        "global_norm": "train/test_clipping.py",
        "greedy": "generate/test_decoding.py",
        "nf4_quantize": "quantize/test_normal_float.py",
        "mix": "image/test_augmentation.py",
        "attention_rollout": "analysis/test_attention_maps.py",
        "spliced_flops": "analysis/test_joining_costs.py",
        "receptive_fields": "analysis/test_reach.py",
        "scaling_loss": "analysis/test_scaling_laws.py",
    }
    assert [home_of(name) for name in examples] == list(HOMES)
    source = "".join(f"def {name}(*args, **options): pass\n" for name in examples)
    files = [ROOT / "tests" / file for file in examples.values()]
    status, told = held(source, tmp_path, "-m", "example", *files)
    assert status == 1, told
    for name in examples:
        assert f"{name}: 0 of " in told


@pytest.fixture
def elsewhere(tmp_path):
    """A folder with a space that holds `mine.py`, and the entry points of refvlm."""
    folder = tmp_path / "else where"
    folder.mkdir()
    (folder / "mine.py").write_text(CLIMB)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    installed = tmp_path / "site" / "refvlm-0.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Name: refvlm\nVersion: 0\n")
    points = project["entry-points"]["pytest11"]
    (installed / "entry_points.txt").write_text(
        "[pytest11]\n" + "".join(f"{k} = {v}\n" for k, v in points.items())
    )
    return folder


@pytest.mark.parametrize("place", [ROOT, ROOT / "book"], ids=["root", "folder"])
@law
def test_impl_takes_a_file_from_anywhere(elsewhere, place):
    """With a space, joined or apart, absolute or relative, from a clone's folders."""
    mine = elsewhere / "mine.py"
    near = os.path.relpath(mine, place)
    pytest = [sys.executable, "-Pm", "pytest", "-q", "-p", "no:cacheprovider"]
    path = [elsewhere.parent / "site", ROOT]
    for given in ([f"--impl={mine}"], ["--impl", mine], ["--impl", near]):
        status, told = run(*pytest, *given, "-m", "example", cwd=place, path=path)
        assert status == 0, told
        assert "linear_warmup: 1 of 1 statements hold" in told


@law
def test_command_takes_a_file_from_anywhere(elsewhere):
    """`refvlm spec` from the file's own folder; its status is 0, 1 or 2."""
    spec = [sys.executable, "-m", "refvlm", "spec"]
    (elsewhere / "wrong.py").write_text(CLIMB.replace("min", "max"))
    for options, status in (
        (["--impl", "mine.py", "-m", "law or example"], 0),
        (["--impl", "wrong.py", "-k", "equal_steps"], 1),
        (["--impl", "mine.py", "-k", "nothing_of_this_name"], 2),
        (["--impl", "nowhere.py"], 2),
        (["--contracts"], 2),
        (["--tracebacks"], 2),
    ):
        got, told = run(*spec, *options, cwd=elsewhere, path=[ROOT])
        assert got == status, told
