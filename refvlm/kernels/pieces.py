"""What a core is given at a time, of work that is the same for every number.

NumPy lets other threads run while a call lasts, and between two calls they wait for
each other. So a piece is not as small as a core's own cache would like: a quarter of a
million numbers to a call keep two threads apart, and are still near.
"""

from __future__ import annotations

from ..parallel import even_blocks

NUMBERS = 1 << 18  # 1 MB of float32


def pieces(count: int) -> list[slice]:
    """Slices of `count` numbers; of few, one, without asking how many cores there are.

    >>> pieces(5)
    [slice(0, 5, None)]
    """
    return even_blocks(count, NUMBERS) if count > NUMBERS else [slice(0, count)]
