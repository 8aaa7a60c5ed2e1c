"""What benchmarks/encoders.py times, and which of its answers are refused."""

from __future__ import annotations

import argparse

import numpy as np
import pytest

from benchmarks import encoders
from benchmarks import encoders_worker as worker
from benchmarks.rows import PYTORCH
from benchmarks.turns import RefusedError

from ..spec import contract, law


class Answers:
    """A peer that answers with numbers of its own."""

    def __init__(self, *numbers):
        self.numbers = np.array(numbers)

    def ask(self, task, name, out):
        """Write them where they are wanted."""
        np.save(out, self.numbers)


@law
def test_every_case_has_a_model_and_forms_that_count():
    """So PyTorch's better form is found, whichever it is."""
    assert {case.model for case in worker.CASES.values()} == {*worker.MODELS}
    for case in worker.CASES.values():
        assert len(case.forms) == 2 and {*case.forms} <= {*PYTORCH}
    assert encoders.names(argparse.Namespace()) == [*worker.CASES]


@law
def test_inputs_are_those_of_the_part():
    """Pictures of the tower's side; a text with one end; a picture before the words."""
    for case in worker.CASES.values():
        pixels, ids = worker.inputs(case)
        if case.part == "read":
            assert pixels is None and ids.shape == (1, 77)
            assert (ids.argmax(axis=1) == 76).all()
        else:
            assert pixels.shape == (case.batch, 3, 224, 224)
            assert (ids == worker.IMAGE).sum(axis=1).tolist() == [196] * case.batch


@law
def test_token_is_read_behind_the_same_prompt():
    """After so many tokens the prompt is read again, and the next is timed there."""
    read, steps = [], []

    class Reading:
        def step(self, ids):
            steps.append(int(ids[0]))

    class Model:
        def reading(self, pixels, ids, new):
            read.append(new)
            return Reading()

    job = worker.Refvlm.tokens(Model(), None, np.array([[1, 2, 3]]))
    for _ in range(worker.NEW + 1):
        job()
    assert read == [worker.NEW] * 2 and steps == [3] * (worker.NEW + 1)


@contract
def test_answers_that_differ_are_refused(tmp_path):
    """What is compared is of the largest value: a thousandth is too much."""
    peers = {"refvlm": Answers(1.0, 2.0), "transformers": Answers(1.0, 2.001)}
    assert encoders.difference(peers, "ViT-B/16", tmp_path) == pytest.approx(
        5e-4, rel=1e-2
    )
    peers["transformers"] = Answers(1.0, 2.01)
    with pytest.raises(RefusedError, match=r"ViT-B/16: the answers differ by 5.0e-03"):
        encoders.difference(peers, "ViT-B/16", tmp_path)
