"""The wirings of a memory that are compared, what they are given, and what is asked."""

from __future__ import annotations

from refvlm.recipes.perfect_eye.wirings import MemoryWiring

SEEDS = (1, 2, 3)  # of training: the first numbers, the episodes, the questions
FIRST_SEED = 31  # of scenes to count on; a round has the next one
EPISODES = 150  # of a round, of 8 questions each
TOGETHER = 40  # steps of which the curve has the mean

PUBLISHED = dict(address="prior", codes=1, order="both ways", alone=True, finding=0.0)

WIRINGS = {
    "memory": MemoryWiring(),
    "both ways": MemoryWiring(order="both ways"),
    "no order": MemoryWiring(order="none"),
    "one code": MemoryWiring(codes=1),
    "prior address": MemoryWiring(address="prior"),
    "softmax address": MemoryWiring(address="softmax"),
    "softmax address, K 16": MemoryWiring(address="softmax", slots=16, width=80),
    "softmax address, not found": MemoryWiring(address="softmax", finding=0.0),
    "not found": MemoryWiring(finding=0.0),
    "prior address, not found": MemoryWiring(address="prior", finding=0.0),
    "K = C": MemoryWiring(slots=64, width=64),
    "K 8": MemoryWiring(slots=8, width=72),
    "K 16": MemoryWiring(slots=16, width=80),
    "noise 1e-6": MemoryWiring(noise=1e-6),
    "noise 1e-4": MemoryWiring(noise=1e-4),
    "noise 1": MemoryWiring(noise=1.0),
    "drawn, divergences 1e-4": MemoryWiring(doubt=(1e-4, 1e-4)),
    "drawn, divergences 0.02": MemoryWiring(doubt=(0.02, 0.005)),
    "as published": MemoryWiring(noise=1e-6, doubt=(0.02, 0.005), **PUBLISHED),
    "as published, no divergences": MemoryWiring(noise=1e-6, **PUBLISHED),
    "up to 16": MemoryWiring(longest=16),
    "cache": MemoryWiring(keeps="cache"),
    "cache, one code": MemoryWiring(keeps="cache", codes=1),
    "cache, up to 16": MemoryWiring(keeps="cache", longest=16),
    "last code": MemoryWiring(keeps="last", codes=1),
}

# Of as many pictures as 16 there is more to learn.
STEPS = dict.fromkeys(WIRINGS, 1200) | {"up to 16": 2000, "cache, up to 16": 2000}

# One rate for all. Of 0.002, 0.003 and 0.005 the memory did best with this one on seed
# 101, which is none of those that are reported; the cache is right in all there is with
# 0.002 as with 0.005. For the others nothing was tried but "prior address", which is
# right in 84, 99 and 95 % with 0.002 on the seeds that are reported: how far it differs
# from the posterior's address is within what seeds differ by.
PEAKS = dict.fromkeys(WIRINGS, 5e-3)

LENGTH = 4  # pictures of the episodes that the table is of
LENGTHS = (1, 2, 3, 6, 8, 12, 16, 24, 32, 48, 64)  # of the curves, by content alone
DISTURBANCES = (0.25, 0.5, 1.0, 2.0)  # deviations of noise on the codes, of deviation 1
SHOWN = {"memory": 6, "cache": 6}  # whose addresses are recorded, of so many pictures


def slug(wiring):
    """The name of a wiring in a folder's name.

    >>> slug("prior address, not found")
    'prior-address-not-found'
    """
    return wiring.lower().replace(",", "").replace("=", "is").replace(" ", "-")
