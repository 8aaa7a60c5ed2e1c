"""The spec of refvlm/train/siblings.py."""

import multiprocessing
import os
import signal
import sys
import threading
import time

import numpy as np
import pytest

from refvlm.parallel import workers
from refvlm.train import siblings as module
from refvlm.train.loop import begin, gradient
from refvlm.train.siblings import Shared, Siblings, siblings

from ..spec import contract, example, law
from .toy import Line

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="processes are copied on Linux only"
)

TENSORS = {"weight": np.ones((2, 3), np.float32), "bias": np.zeros(1)}


def work(tensors, number):
    """What is noted, and arrays under names of the tensors."""
    if number < 0:
        raise ValueError("a number below 0")
    return (number, workers()), {"weight": tensors["weight"] * number}


class PickyError(Exception):
    """An error that cannot be made again from its message."""

    def __init__(self, first, second):
        super().__init__(first + second)


def fail(tensors, problem):
    """Raise the error of that name, in a function that a traceback can name."""
    if problem is not None:
        raise {"picky": PickyError("no", "thing"), "exit": SystemExit(3)}[problem]
    return None, {}


def signals(tensors):
    """What is done about signals here, and which of them wait."""
    numbers = signal.SIGINT, signal.SIGHUP, signal.SIGTERM
    waiting = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    return ([signal.getsignal(number) for number in numbers], waiting), {}


def slow(tensors, seconds):
    """A job that takes so long."""
    time.sleep(seconds)
    return None, {}


@pytest.fixture
def two_cores(monkeypatch):
    """Two cores, and no threads that other tests have left."""
    monkeypatch.setattr(module, "workers", lambda: 2)
    before = set(threading.enumerate()) - {threading.main_thread()}
    all_of_them = threading.enumerate
    monkeypatch.setattr(
        threading, "enumerate", lambda: [t for t in all_of_them() if t not in before]
    )


def has_siblings(work=work):
    """Whether there is a family for two jobs here."""
    with siblings(work, TENSORS, 2) as family:
        return family is not None


def in_family(count, *jobs, tensors=TENSORS):
    """What a family of so many made of each list of jobs."""
    family = Siblings(work, TENSORS, count)
    with family.closing:
        return [
            [(noted, {n: a.copy() for n, a in arrays.items()}) for noted, arrays in out]
            for out in (family(tensors, job) for job in jobs)
        ]


@example
def test_siblings_do_the_jobs_in_order():
    """Three jobs, twice: each sibling's answer stands where its job stood."""
    for out in in_family(3, [(1,), (2,), (3,)], [(1,), (2,), (3,)]):
        assert [noted for noted, _ in out] == [(1, 1), (2, 1), (3, 1)]
        for number, (_, arrays) in enumerate(out, 1):
            np.testing.assert_array_equal(arrays["weight"], np.full((2, 3), number))


@law
def test_siblings_see_the_tensors_of_the_moment():
    """Not those of when they were copied."""
    moved = {**TENSORS, "weight": np.full((2, 3), 7, np.float32)}
    ((_, (_, arrays)),) = in_family(2, [(1,), (2,)], tensors=moved)
    np.testing.assert_array_equal(arrays["weight"], np.full((2, 3), 14))


@contract
def test_an_error_of_a_sibling_is_raised_here():
    """With its message, and nothing is left running."""
    with pytest.raises(ValueError, match="a number below 0"):
        in_family(2, [(1,), (-1,)])


@contract
@pytest.mark.parametrize("jobs", [[(1,), (-1,), (3,)], [(-1,), (2,), (3,)]])
def test_after_an_error_no_answer_is_of_an_old_job(jobs):
    """Another's error or one's own: what was asked for before it is not answered."""
    family = Siblings(work, TENSORS, 3)
    with family.closing:
        with pytest.raises(ValueError, match="below 0"):
            family(TENSORS, jobs)
        with pytest.raises(OSError):
            family(TENSORS, [(10,), (20,), (30,)])


@contract
def test_a_sibling_that_was_killed_is_missed():
    """The error says what may have happened."""
    family = Siblings(work, TENSORS, 2)
    with family.closing:
        family.others[0].process.kill()
        family.others[0].process.join()
        with pytest.raises(ChildProcessError, match=r"killed.* goes on from the last"):
            family(TENSORS, [(1,), (2,)])


@contract
@pytest.mark.parametrize(
    "problem, kind, said",
    [("picky", RuntimeError, r"PickyError\('nothing'\)"), ("exit", SystemExit, "3")],
)
def test_any_error_of_a_sibling_comes_with_its_place(problem, kind, said):
    """One that cannot be sent comes in words, and an exit is no death."""
    family = Siblings(fail, TENSORS, 2)
    with family.closing:
        with pytest.raises(kind, match=said) as caught:
            family(TENSORS, [(None,), (problem,)])
        assert "in fail\n" in str(caught.value.__cause__)


@contract
def test_what_cannot_be_sent_back_is_an_error():
    """Not a death either."""
    family = Siblings(lambda tensors: (lambda: None, {}), TENSORS, 2)
    with family.closing, pytest.raises(Exception, match="pickle"):
        family(TENSORS, [(), ()])


@contract
def test_a_sibling_whose_elder_is_gone_ends_in_peace(capfd):
    """When it has done its job: without a word."""
    family = Siblings(slow, TENSORS, 2)
    with family.closing:
        family.others[0].ask((0.1,))
        family.others[0].pipe.close()
        family.others[0].process.join(20)
        assert family.others[0].process.exitcode == 0
    assert capfd.readouterr().err == ""


@contract
def test_signals_are_for_the_elder_one():
    """A handler of the program is not run in its copies; all is as before in it."""

    def mine(*_):
        raise AssertionError

    before = signal.signal(signal.SIGTERM, mine)
    try:
        family = Siblings(signals, TENSORS, 2)
        with family.closing:
            (here, _), (there, _) = family(TENSORS, [(), ()])
    finally:
        signal.signal(signal.SIGTERM, before)
    ending = {signal.SIGINT, signal.SIGHUP, signal.SIGTERM}
    assert here[0][2] is mine and not here[1] & ending
    assert there[0] == [signal.SIG_IGN, signal.SIG_IGN, signal.SIG_DFL]
    assert not there[1] & ending


@contract
def test_siblings_end_with_their_context():
    """No process is left behind."""
    family = Siblings(work, TENSORS, 2)
    with family.closing:
        number = family.others[0].process.pid
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)


@contract
def test_one_job_needs_no_sibling():
    """Nor is there one for more jobs than cores."""
    for count in (1, workers() + 1):
        with siblings(work, TENSORS, count) as family:
            assert family is None


@law
def test_only_a_process_without_other_threads_is_copied(two_cores):
    """One that waits inside of refvlm does no harm; any other may hold a lock."""
    assert has_siblings()
    done = threading.Event()
    for name in ("refvlm_0", "another"):
        thread = threading.Thread(target=done.wait, name=name)
        thread.start()
        try:
            assert has_siblings() == (name == "refvlm_0")
        finally:
            done.set()
            thread.join()
            done.clear()
    found = []
    thread = threading.Thread(target=lambda: found.append(has_siblings()))
    thread.start()
    thread.join()
    assert found == [False]


@contract
@pytest.mark.parametrize("refusing", ["Sibling", "Shared"])
def test_no_siblings_where_they_are_refused(two_cores, monkeypatch, refusing):
    """No processes, or no memory for them."""

    def refuse(*_):
        raise BlockingIOError("no more of them")

    monkeypatch.setattr(module, refusing, refuse)
    assert not has_siblings()


@contract
def test_a_sibling_that_cannot_begin_leaves_nothing_open(monkeypatch):
    """Its own pipe and the siblings before it are closed."""
    start, begun = multiprocessing.context.ForkProcess.start, []

    def refuse_the_second(process):
        if begun:
            raise BlockingIOError("no more processes")
        begun.append(process)
        start(process)

    kind = multiprocessing.context.ForkProcess
    monkeypatch.setattr(kind, "start", refuse_the_second)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(BlockingIOError):
        Siblings(work, TENSORS, 3)
    assert begun[0].exitcode is not None
    begun[0].close()
    assert len(os.listdir("/proc/self/fd")) <= before


@contract
def test_a_sibling_has_no_siblings(two_cores, monkeypatch):
    """Nor has any process that must not begin others."""
    monkeypatch.setattr(multiprocessing.current_process(), "_config", {"daemon": True})
    assert not has_siblings()


@contract
def test_a_batch_of_another_number_of_shards_is_refused():
    """With the step and both numbers, before anything is begun."""
    recipe = Line()
    state = begin(recipe)
    family = Siblings(work, state.tensors, 2)
    with family.closing, pytest.raises(ValueError, match=r"step 0: .* 3 .* 2:"):
        gradient(recipe, state, [*recipe.batch(0), None], family)


@example
def test_shared_arrays_are_of_the_same_shapes_and_kinds():
    """Written to by name, the others left alone; of no axes and of no numbers too."""
    like = {**TENSORS, "step": np.array(3), "none": np.zeros((0, 2), np.float16)}
    shared = Shared(like)
    shared.write({"step": np.array(4)})
    for name, array in shared.arrays.items():
        assert array.shape == like[name].shape and array.dtype == like[name].dtype
    assert shared.arrays["step"] == 4 and not shared.arrays["weight"].any()
