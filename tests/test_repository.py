"""The files around the code say the same as the code."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import yaml

from .spec import law

ROOT = Path(__file__).parents[1]


def text_of(name):
    return (ROOT / name).read_text(encoding="utf-8")


@law
def test_commits_are_formatted_by_the_ruff_that_lints():
    """pre-commit's ruff is the one of constraints.txt, or the two would disagree."""
    (tested,) = re.findall(r"(?m)^ruff==(.+)$", text_of("constraints.txt"))
    hooks = yaml.safe_load(text_of(".pre-commit-config.yaml"))
    assert [repository["rev"] for repository in hooks["repos"]] == [f"v{tested}"]


@law
def test_what_a_change_must_pass_is_written_once():
    """The workflow calls .ci/run, and knows no steps of its own."""
    workflow = yaml.safe_load(text_of(".github/workflows/spec.yml"))
    (job,) = workflow["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]


@law
def test_make_stays_inside_a_checkout_with_a_space_in_its_path(tmp_path):
    """`make` in "notes old/refvlm" writes beside nothing and over nothing."""
    checkout = tmp_path / "notes old" / "refvlm"
    shutil.copytree(ROOT, checkout, ignore=lambda *_: set(os.listdir(ROOT)) - MADE_OF)
    (tmp_path / "notes").write_text("my diary")
    for tool in ("python", "jupyter-book", "ruff", "mypy"):
        path = checkout / ".venv" / "bin" / tool
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('#!/bin/sh\necho "$IPYTHONDIR|$MPLCONFIGDIR|$PYTHONPATH"\n')
        path.chmod(0o755)
    (checkout / ".venv" / ".made").touch()
    goals = "book", "chapter", "test", "lint", "format", "describe", "check-pages"
    done = subprocess.run(
        ["make", "-s", *goals, "PYTHON=/none", "CHAPTER=a b.md", "IMAGE=a b.png"],
        cwd=checkout,
        env={k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "VENV"))},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    venv = f"{checkout}/.venv"
    shown = f"{venv}/ipython|{venv}/matplotlib|{checkout}:{checkout}/book/_lib"
    assert shown in done.stdout.splitlines()
    config = checkout / ".venv/ipython/profile_default/ipython_kernel_config.py"
    assert "log_level" in config.read_text()
    assert (tmp_path / "notes").read_text() == "my diary"
    assert {path.name for path in tmp_path.iterdir()} == {"notes", "notes old"}
    assert [path.name for path in checkout.parent.iterdir()] == ["refvlm"]


MADE_OF = {
    *("Makefile", "requirements.txt", "constraints.txt", "requirements-pages.txt"),
    *("requirements-oracles.txt", "requirements-oracles-nodeps.txt"),
}


@law
def test_make_quotes_every_path():
    """A variable that holds a path stands in quotes wherever a shell reads it."""
    makefile = text_of("Makefile")
    paths = r"BIN|VENV|OLDEST|PYTHON|ROOT|IMAGE|CHAPTER|SCREENSHOTS"
    recipes = [line for line in makefile.splitlines() if line.startswith(("\t", "  "))]
    assert len(recipes) > 30
    for line in recipes:
        spoken = re.sub(r"\becho .*", "", line)  # what is only said
        bare = re.sub(r"\$\(if \$\(\w+\),", "", re.sub(r'"[^"]*"', "", spoken))
        assert not re.search(rf"\$\(({paths})\)|\$@", bare), line
