"""Both libraries of benchmarks/tokenizing.py do the same work."""

from __future__ import annotations

import json
from functools import cache

import pytest

from benchmarks import believable, identity, records, rows, tokenizing
from benchmarks import tokenizing_worker as worker

from ..spec import example, house, law
from . import recorded

OURS, THEIRS = worker.Refvlm(), worker.Tokenizers()
BYTES = {"raw-stream BPE": 256}  # which the library's trainer does not make


@pytest.fixture(autouse=True, scope="module")
def short():
    """Less than what is timed, and the same: of fewer letters the library's unigram
    has not pieces enough."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker, "LETTERS", 20_000)
        patch.setattr(worker, "SIZE", 500)
        patch.setattr(worker, "lines", cache(worker.lines.__wrapped__))
        patch.setattr(worker, "learnt", cache(worker.learnt.__wrapped__))
        patch.setattr(tokenizing, "lines", worker.lines)
        yield


def run(prepare_and_call):
    """What is prepared, once the call is done, and its answer."""
    prepare, call = prepare_and_call
    prepared = prepare()
    return prepared, call(prepared)


@law
@pytest.mark.parametrize("kind", worker.KINDS)
def test_both_learn_as_many_tokens(kind):
    """Neither is asked for more, and the second time is as the first."""
    _, ours = run(OURS.learn(kind))
    assert len(ours) == worker.SIZE
    for _ in range(2):
        (backend, _), _ = run(THEIRS.learn(kind))
        assert backend.get_vocab_size() == worker.SIZE - BYTES.get(kind, 0)


@law
@pytest.mark.parametrize("kind", ["byte-level BPE", "raw-stream BPE"])
def test_both_learn_the_same_merges(kind):
    """From the same words, one after the other."""
    _, ours = run(OURS.learn(kind))
    (backend, _), _ = run(THEIRS.learn(kind))
    merges = json.loads(backend.to_str())["model"]["merges"]
    assert [tuple(pair) for pair in merges] == ours.merges


@law
@pytest.mark.parametrize("kind", worker.KINDS)
def test_both_cut_into_the_same_tokens(kind):
    """The same ids, of the lines and of one long word."""
    for text in ("\n".join(worker.lines()), worker.WORD):
        _, ours = run(OURS.cut(kind, text))
        _, theirs = run(THEIRS.cut(kind, text))
        assert ours == theirs


@house
def test_a_fresh_tokenizer_is_prepared_for_each_call(monkeypatch):
    """Cutting again has one for all calls; both are prepared before the clock runs."""
    monkeypatch.setattr(worker, "ENOUGH", 0)
    made, seen = [], []

    class Library:
        versions = None

        def cut(self, kind, text):
            return lambda: made.append(text) or len(made), seen.append

    monkeypatch.setitem(worker.LIBRARIES, "made up", Library)
    library = worker.Worker("made up")
    library.run("cut by unigram")
    assert seen == [1, 2, 3, 4]
    library.run("cut again by unigram")
    assert seen[4:] == [5] * 4


@example
def test_a_row_counts_the_bytes_that_it_reads():
    """20,000 letters are 19,998, and a book has characters of several bytes."""
    assert tokenizing.cost(worker.ONE_WORD) == {"flops": 0, "bytes": 19_998}
    assert tokenizing.cost("learn unigram")["bytes"] == tokenizing.read()["bytes"]


@house
def test_a_record_of_another_text_is_told(monkeypatch, tmp_path, capsys):
    """The book changes, and what is compared with is then of other pages."""
    machine = recorded.SOURCE["machine"]
    monkeypatch.setattr(identity, "machine", lambda: machine)
    monkeypatch.setattr(records, "RESULTS", tmp_path)
    options = records.parser_of("").parse_args([])
    folder = tmp_path / identity.kind(machine, options.kernels)
    for text, is_told in ((tokenizing.read(), False), ({"sha256": "0"}, True)):
        record = recorded.SOURCE | {"text": text, "rows": {}}
        records.write_all(folder, {"tokenizing": record}, aloud=False)
        tokenizing.told(options)
        assert ("others than" in capsys.readouterr().out) == is_told


@house
def test_the_rows_can_be_believed():
    """With the cost of each, at the speed of ours."""
    table = {
        name: rows.row(
            {"refvlm": [0.1] * 3, "tokenizers": [0.02] * 3}, tokenizing.cost(name), 0.0
        )
        for name in worker.CASES
    }
    record = recorded.SOURCE | {"rows": table}
    assert not believable.faults({"roofs": recorded.roofs(), "tokenizing": record})
