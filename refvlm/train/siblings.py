r"""The shards of a batch in processes of their own.

Threads of one Python take turns: one runs, and whoever has ended a NumPy call waits for
it. A call of a small model takes some ten microseconds and waking a thread takes more,
so two shards in two threads take half as long again as each would alone. Processes do
not wait for one another.

A sibling is a copy of this process, made by `fork`: it knows the recipe without being
told. What changes with the steps is written where both can read it (the weights, and
the gradients that come back), or goes through a pipe (the shard, and the few numbers
that are noted). Where a process cannot be copied safely, there are no siblings, and the
shards are threads: on macOS, on Windows, and while another thread of the user lives. A
copy has this thread alone, and a lock that another one held stays locked in it.
"""

from __future__ import annotations

import contextlib
import mmap
import multiprocessing
import pickle
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..parallel import on_one_core, workers

Arrays = Mapping[str, np.ndarray]
ALIGNED = 64  # bytes: where an array may begin
LOST = (
    "a process that computed a part of the gradient has ended: it was killed, perhaps "
    "for want of memory. The same command goes on from the last state saved"
)

# (tensors, *job) -> (what is noted, gradients by name)
Work = Callable[..., tuple[Any, Arrays]]


class Shared:
    """Arrays by name, in memory that this process and its copies have in common."""

    def __init__(self, like: Arrays):
        sizes = [-(-array.nbytes // ALIGNED) * ALIGNED for array in like.values()]
        self.memory = mmap.mmap(-1, max(sum(sizes), 1))
        starts = np.cumsum([0, *sizes])
        self.arrays = {
            name: np.ndarray(array.shape, array.dtype, self.memory, start)
            for (name, array), start in zip(like.items(), starts)
        }

    def write(self, arrays: Arrays) -> None:
        """Copy these arrays over those of the same names."""
        for name, array in arrays.items():
            self.arrays[name][...] = array


class Sibling:
    """One copy of this process, that waits for a job, does it, and waits again."""

    def __init__(self, work: Work, tensors: Shared):
        self.gradients = Shared(tensors.arrays)
        self.pipe, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.get_context("fork").Process(
            target=self._serve, args=(work, tensors, theirs), daemon=True
        )
        try:
            with warnings.catch_warnings():  # BLAS's threads are not in the copy: it
                warnings.simplefilter("ignore", DeprecationWarning)  # has and needs one
                self.process.start()
        except BaseException:
            self.close()
            raise
        finally:
            theirs.close()

    def _serve(self, work, tensors, pipe):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C and a terminal's end are
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # for the elder one
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # what close() sends
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ending_signals())
        self.pipe.close()  # so that its end is heard of here
        with on_one_core(), contextlib.suppress(EOFError, OSError):  # it is gone
            while True:
                job = pipe.recv_bytes()
                pipe.send_bytes(self._answer(work, tensors, job))

    def _answer(self, work, tensors, job):
        try:
            noted, gradients = work(tensors.arrays, *pickle.loads(job))
            self.gradients.write(gradients)
            return pickle.dumps((None, noted, list(gradients)))
        except BaseException as problem:  # raised where the answer is waited for
            return _pickled(problem)

    def ask(self, job) -> None:
        """Begin with a job; the tensors have been written."""
        try:
            self.pipe.send(job)
        except ConnectionError:
            raise ChildProcessError(LOST) from None

    def answer(self) -> tuple[Any, Arrays]:
        """What came of the job; the arrays are good until the next one."""
        try:
            problem, noted, names = self.pipe.recv()
        except (EOFError, OSError):  # before an answer, or in the middle of it
            raise ChildProcessError(LOST) from None
        if problem is not None:
            raise problem from RuntimeError(noted)
        return noted, {name: self.gradients.arrays[name] for name in names}

    def close(self) -> None:
        """End the copy, whatever it is doing."""
        with contextlib.suppress(OSError):  # closed already, as Python came to its end
            self.pipe.close()
        if self.process.pid is not None:  # it was begun
            self.process.terminate()
            self.process.join()


def _pickled(problem):
    """An error and where it happened; in words, where it cannot be sent itself."""
    where = "\n" + "".join(traceback.format_exception(problem))
    try:
        sent = pickle.dumps((problem, where, []))
        pickle.loads(sent)
        return sent
    except Exception:
        return pickle.dumps((RuntimeError(repr(problem)), where, []))


def _ending_signals():
    return {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


@contextlib.contextmanager
def _undisturbed():
    """Inside, signals wait: a copy has to settle first what it does about them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ending_signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Siblings:
    """So many processes that work side by side, this one among them."""

    def __init__(self, work: Work, tensors: Arrays, count: int):
        self.work, self.tensors, self.count = work, Shared(tensors), count
        self.others: list[Sibling] = []
        with contextlib.ExitStack() as closing:
            with _undisturbed():
                for _ in range(count - 1):
                    self.others.append(Sibling(work, self.tensors))
                    closing.callback(self.others[-1].close)
            self.closing = closing.pop_all()

    def __call__(self, tensors: Arrays, jobs: Sequence) -> list[tuple[Any, Arrays]]:
        """[work(tensors, *job) for job in jobs], one job for each process.

        After an error there are no others any more: their answers would be of old jobs.
        """
        self.tensors.write(tensors)
        try:
            for sibling, job in zip(self.others, jobs[1:], strict=True):
                sibling.ask(job)
            with on_one_core():
                first = self.work(tensors, *jobs[0])
            return [first, *(sibling.answer() for sibling in self.others)]
        except BaseException:
            self.closing.close()
            raise


@contextlib.contextmanager
def siblings(work: Work, tensors: Arrays, count: int) -> Iterator[Siblings | None]:
    """As many as there are jobs, where each finds a core; otherwise None."""
    family = None
    if 1 < count <= workers() and _can_be_copied():
        with contextlib.suppress(OSError):  # no process or no memory is to be had
            family = Siblings(work, tensors, count)
    with contextlib.nullcontext() if family is None else family.closing:
        yield family


def _can_be_copied() -> bool:
    """Whether this process may have copies, and no other thread is at work in it:
    refvlm's own wait while this one is here."""
    this = threading.current_thread()
    return (
        sys.platform == "linux"
        and not multiprocessing.current_process().daemon
        and this is threading.main_thread()
        and all(t is this or t.name.startswith("refvlm") for t in threading.enumerate())
    )
