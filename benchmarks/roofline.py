"""The roofs of a machine from its record, and the least time that work takes there.

Work of F operations on B bytes takes at least as long as its operations at the fastest
rate seen in any product, and at least as long as its bytes take to arrive. A benchmark
repeats its call on the same arrays, so what fits in a cache may still be there: the
first bytes count as read from L2, the next as from L3, and only the rest as from
memory, each at the fastest rate seen there. What L1 holds is not waited for at all.
"""

from __future__ import annotations


def peak(roofs, threads):
    """The most FLOP/s of any product on at most so many threads."""
    return 1e9 * max(
        rate["value"]
        for counted, products in roofs["products"].items()
        for rate in products.values()
        if int(counted) <= threads
    )


def bandwidth(roofs, threads, level="memory"):
    """The most bytes/s of any walk through arrays that lie in L2, L3 or memory.

    A core's L2 is its own: one thread walks through it, and it counts for each.
    """
    if level == "L2":
        return 1e9 * threads * _fastest(roofs["walks"]["1"]["L2"])
    return 1e9 * max(
        _fastest(walks[level])
        for counted, walks in roofs["walks"].items()
        if int(counted) <= threads
    )


def _fastest(walks):
    return max(rate["value"] for rate in walks.values())


def balance(roofs, threads):
    """The operations that the machine can do while one byte arrives from memory."""
    return peak(roofs, threads) / bandwidth(roofs, threads)


def arrival(size, roofs, threads):
    """The least seconds in which so many bytes arrive."""
    caches, took = roofs["machine"]["caches"], 0.0
    size -= min(size, threads * caches.get("L1d", 0))
    for level, copies in (("L2", threads), ("L3", 1)):
        here = min(size, copies * caches.get(level, 0))
        took += here / bandwidth(roofs, threads, level)
        size -= here
    return took + size / bandwidth(roofs, threads)


def floor(cost, roofs, threads):
    """The least seconds for {"flops": F, "bytes": B} under these roofs."""
    arithmetic = cost["flops"] / peak(roofs, threads)
    return max(arithmetic, arrival(cost["bytes"], roofs, threads))
