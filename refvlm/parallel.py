"""One job in pieces, one core to each piece.

NumPy works on one core, except inside a matrix product. Most of a network's other
work (an activation, a sum, a copy) is the same for every row or channel, so it can
be cut: each worker takes a piece, does everything to it while it is in that core's
cache, and takes the next. NumPy releases Python's global lock inside its loops, so
plain threads do run side by side, but only while a call lasts: between calls they
queue for the lock, and handing it over costs more than a short call takes. So give
each call 100,000 elements or more. A round of `in_parallel` itself costs about a
tenth of a millisecond: waking a core that sleeps is slow.

While pieces run, each matrix product in them takes one thread: two workers with two
BLAS threads each would only get in each other's way. That number is changed, while
the program runs, by threadpoolctl; without it the pieces still run, but a vision tower
takes two fifths longer, and a warning says so once.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import os
import threading
import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait

WITHOUT_THREADPOOLCTL = (
    "refvlm runs without threadpoolctl, and more slowly: BLAS's threads and refvlm's "
    "own compete for the cores. To mend it: pip install threadpoolctl"
)
_this_thread = threading.local()


def blocks(length: int, size: int) -> list[slice]:
    """Neighbouring slices of `size`, the last one shorter.

    >>> blocks(5, 2)
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    if size < 1:
        raise ValueError(f"blocks need a size of at least 1, not {size}")
    return [slice(at, min(at + size, length)) for at in range(0, length, size)]


def even_blocks(length: int, size: int) -> list[slice]:
    """Slices of about `size`, as many for one worker as for another."""
    rounds = -(-length // (size * workers()))
    return blocks(length, max(-(-length // max(rounds * workers(), 1)), 1))


def shares(length: int, unit: int = 1) -> list[slice]:
    """One slice for each worker, as even as can be, cut at multiples of `unit`."""
    units = -(-length // unit)
    return blocks(length, max(-(-units // workers()) * unit, 1))


def in_parallel(function: Callable, pieces: Iterable) -> list:
    """[function(piece) for piece in pieces], several pieces at a time.

    The caller works too, beside the threads that it wakes, and each takes the next
    piece when it is done with one. The results are in the order of the pieces. Of the
    pieces that fail, the first raises its error, once none is running any more; those
    that nobody has begun are left. A call from inside a piece, a single piece, and a
    single core are plain loops.

    >>> in_parallel(len, ["a", "bc", "def"])
    [1, 2, 3]
    """
    pieces = list(pieces)
    hands = min(workers(), len(pieces))
    if hands <= 1:
        return [function(piece) for piece in pieces]
    results, errors = [None] * len(pieces), {}
    left = iter(list(enumerate(pieces)))

    def work():
        with _as_worker():
            for place, piece in left:
                try:
                    results[place] = function(piece)
                except BaseException as error:
                    errors[place] = error
                    _exhaust(left)

    with one_blas_thread:
        others = [
            _pool().submit(contextvars.copy_context().run, work)
            for _ in range(hands - 1)
        ]
        try:
            work()
            wait([other for other in others if not other.cancel()])
        except BaseException:  # Ctrl-C: leave nothing running behind
            _exhaust(left)
            wait(others)
            raise
    if errors:
        raise errors[min(errors)]
    return results


def _exhaust(iterator):
    for _ in iterator:
        pass


@contextlib.contextmanager
def _as_worker():
    """What runs inside is a piece: it does not hand out pieces of its own."""
    _this_thread.is_worker = True
    try:
        yield
    finally:
        _this_thread.is_worker = False


def workers() -> int:
    """How many pieces run at once: a core each, and no more than BLAS may take.

    So OPENBLAS_NUM_THREADS=1 keeps everything on one core. Inside a piece it is 1.
    """
    if getattr(_this_thread, "is_worker", False):
        return 1
    if one_blas_thread.inside:
        return min([cores(), *one_blas_thread.before])
    return min([cores(), *_blas_threads()])


@functools.cache
def cores() -> int:
    """The cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS or Windows
        return os.cpu_count() or 1


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(cores(), thread_name_prefix="refvlm")


if hasattr(os, "register_at_fork"):  # threads do not survive a fork
    os.register_at_fork(after_in_child=_pool.cache_clear)


@functools.cache
def blas_libraries() -> list:
    """The BLAS libraries of this process that threadpoolctl can steer."""
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        if cores() > 1:
            warnings.warn(WITHOUT_THREADPOOLCTL, RuntimeWarning, stacklevel=2)
        return []
    found = ThreadpoolController().select(user_api="blas").lib_controllers
    return [library for library in found if library.num_threads]


def _blas_threads() -> list[int]:
    return [library.num_threads for library in blas_libraries()]


class _OneBlasThread:
    """Matrix products take one thread for as long as anybody is inside.

    The first to enter notes the numbers of threads and the last to leave restores
    them, so that two callers who overlap cannot leave BLAS at one for good.
    """

    def __init__(self):
        self.lock = threading.Lock()
        self.inside = 0
        self.before = []

    def __enter__(self):
        with self.lock:
            if self.inside == 0:
                self.before = _blas_threads()
                for library in blas_libraries():
                    library.set_num_threads(1)
            self.inside += 1

    def __exit__(self, *exception):
        with self.lock:
            self.inside -= 1
            if self.inside == 0:
                for library, threads in zip(blas_libraries(), self.before):
                    library.set_num_threads(threads)


one_blas_thread = _OneBlasThread()


@contextlib.contextmanager
def on_one_core():
    """Inside, this thread hands nothing to others: the other cores are busy."""
    before = getattr(_this_thread, "is_worker", False)
    _this_thread.is_worker = True
    try:
        with one_blas_thread:
            yield
    finally:
        _this_thread.is_worker = before
