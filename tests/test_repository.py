"""The files around the code say the same as the code."""

import re
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
