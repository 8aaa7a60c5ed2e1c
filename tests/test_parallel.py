"""The spec of refvlm/parallel.py."""

import sys
import threading
import time
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm import parallel
from refvlm.parallel import (
    blocks,
    even_blocks,
    in_parallel,
    on_one_core,
    one_blas_thread,
    shares,
)

from .spec import contract, example, law


@pytest.fixture
def two_workers(monkeypatch):
    """Two at a time, however many cores and BLAS threads this machine gives."""
    monkeypatch.setattr(parallel, "cores", lambda: 2)
    monkeypatch.setattr(parallel, "_blas_threads", lambda: [2])
    parallel._pool.cache_clear()
    yield
    parallel._pool.cache_clear()


@example
def test_blocks_are_neighbours_and_the_last_is_shorter():
    """Seven in threes: 0 to 3, 3 to 6, and what is left."""
    assert blocks(7, 3) == [slice(0, 3), slice(3, 6), slice(6, 7)]


@law
@given(st.integers(0, 300), st.integers(1, 50))
def test_blocks_cover_everything_once(length, size):
    """However it is cut, each index is in one block, and they are in order."""
    for cut in (blocks, even_blocks, shares):
        indices = [i for part in cut(length, size) for i in range(length)[part]]
        assert indices == list(range(length))


@law
@given(st.integers(1, 300), st.integers(1, 50))
def test_even_blocks_are_no_larger_than_asked(length, size):
    """Evening out makes blocks smaller, so that they still fit into a cache."""
    assert all(part.stop - part.start <= size for part in even_blocks(length, size))


@law
def test_even_blocks_give_each_worker_as_many(two_workers):
    """Three blocks for two workers would leave one idle half of the time."""
    assert len(even_blocks(300, 100)) == 4


@law
def test_shares_cut_at_whole_units(two_workers):
    """A share ends where a block of the inner loop does."""
    assert shares(10, 4) == [slice(0, 8), slice(8, 10)]


@law
@given(st.lists(st.integers()))
def test_in_parallel_keeps_the_order_of_the_pieces(pieces):
    """It is a loop: results come in the order of the pieces, whoever is first."""
    assert in_parallel(lambda n: n * n, pieces) == [n * n for n in pieces]


@law
def test_in_parallel_works_on_two_pieces_at_once(two_workers):
    """Each piece waits for the other one to begin: one by one they never would."""
    together = threading.Barrier(2, timeout=30)
    in_parallel(lambda _: together.wait(), [0, 1])


@law
def test_in_parallel_inside_a_piece_is_a_loop(two_workers):
    """A piece that waited for its own workers could wait for ever."""

    def outer(_):
        inside = in_parallel(lambda _: threading.get_ident(), range(4))
        return set(inside) == {threading.get_ident()}

    assert in_parallel(outer, range(8)) == [True] * 8


@law
def test_in_parallel_gives_each_product_one_thread(two_workers):
    """Pieces share the cores already; afterwards BLAS has its threads back."""
    before = [library.num_threads for library in parallel.blas_libraries()]
    during = in_parallel(
        lambda _: [library.num_threads for library in parallel.blas_libraries()],
        range(2),
    )
    assert all(set(counts) <= {1} for counts in during)
    after = [library.num_threads for library in parallel.blas_libraries()]
    assert before == after


@law
def test_one_blas_thread_is_left_by_the_last():
    """Two that overlap: the first to leave must not free BLAS for the other."""
    before = [library.num_threads for library in parallel.blas_libraries()]
    with one_blas_thread:
        with one_blas_thread:
            pass
        inside = [library.num_threads for library in parallel.blas_libraries()]
        assert set(inside) <= {1}
    assert before == [library.num_threads for library in parallel.blas_libraries()]


def threads_of_blas():
    """How many each BLAS library may take."""
    return {library.num_threads for library in parallel.blas_libraries()}


@law
def test_on_one_core_hands_nothing_out_until_it_is_left(two_workers):
    """Neither pieces nor products; an inner one does not free the outer one."""
    before = threads_of_blas()
    with on_one_core():
        with on_one_core():
            assert parallel.workers() == 1
        assert parallel.workers() == 1 and threads_of_blas() <= {1}
        assert set(in_parallel(lambda _: threading.get_ident(), range(4))) == {
            threading.get_ident()
        }
    assert parallel.workers() == 2 and threads_of_blas() == before


@contract
def test_on_one_core_is_left_by_an_error_too(two_workers):
    """Inside another one as well, which an error of the inner leaves as it was."""
    before = threads_of_blas()
    with pytest.raises(KeyError), on_one_core():
        with pytest.raises(ZeroDivisionError), on_one_core():
            raise ZeroDivisionError
        assert parallel.workers() == 1 and threads_of_blas() <= {1}
        raise KeyError
    assert parallel.workers() == 2 and threads_of_blas() == before


@law
def test_in_parallel_keeps_the_callers_errstate(two_workers):
    """NumPy's error handling belongs to a context, which the pieces take along."""
    with warnings.catch_warnings(), np.errstate(divide="ignore"):
        warnings.simplefilter("error")
        results = in_parallel(lambda _: np.float64(1) / np.zeros(1), range(2))
    assert all(np.isinf(result) for result in results)


@law
def test_in_parallel_without_threadpoolctl_still_works(monkeypatch):
    """Only the number of BLAS threads stays what it was."""
    monkeypatch.setattr(parallel, "blas_libraries", list)
    assert parallel.workers() == parallel.cores()
    assert in_parallel(str, [1, 2, 3]) == ["1", "2", "3"]


@law
def test_without_threadpoolctl_a_warning_says_so_once(monkeypatch):
    """And what to do. One core has no threads that could compete."""
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    for cores, count in ((1, 0), (2, 1)):
        monkeypatch.setattr(parallel, "cores", lambda cores=cores: cores)
        parallel.blas_libraries.cache_clear()
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            assert in_parallel(str, [1, 2, 3]) == ["1", "2", "3"]
            assert in_parallel(str, [4, 5, 6]) == ["4", "5", "6"]
        assert ["install threadpoolctl" in str(w.message) for w in said] == [
            True
        ] * count
    parallel.blas_libraries.cache_clear()


@contract
def test_in_parallel_raises_the_error_of_a_piece(two_workers):
    """Once nothing is running any more; what nobody has begun is left alone."""
    begun, ended = threading.Barrier(2, timeout=30), []

    def work(n):
        if n < 2:
            begun.wait()
        if n == 0:
            raise KeyError("the first piece")
        time.sleep(0.05)
        ended.append(n)

    with pytest.raises(KeyError, match="the first piece"):
        in_parallel(work, range(9))
    assert ended == [1]


@contract
def test_in_parallel_raises_the_first_error_in_order(two_workers):
    """Two pieces that fail together: whose error comes out is no race."""
    begun = threading.Barrier(2, timeout=30)

    def work(n):
        begun.wait()
        time.sleep(0.05 * (1 - n))
        raise KeyError(f"piece {n}")

    with pytest.raises(KeyError, match="piece 0"):
        in_parallel(work, range(2))


@contract
def test_in_parallel_works_again_after_an_error(two_workers):
    """The caller, who was a worker meanwhile, hands out pieces as before."""
    with pytest.raises(ZeroDivisionError):
        in_parallel(lambda n: 1 // n, range(4))
    assert parallel.workers() == 2


@contract
def test_blocks_refuse_to_stand_still():
    """A block of nothing would never reach the end."""
    with pytest.raises(ValueError, match="at least 1, not 0"):
        blocks(3, 0)
