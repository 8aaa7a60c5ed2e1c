"""Of groups of tokens: every token is in one of so many."""

from __future__ import annotations

from ...arguments import check_whole


def groups_are_there(function, groups, num_groups):
    """The groups are numbered from 0, and none lies beyond their number."""
    check_whole(function, num_groups=num_groups)
    if groups.size and not 0 <= groups.min() <= groups.max() < num_groups:
        raise ValueError(
            f"{function}: groups must be from 0 to num_groups - 1, {num_groups - 1}: "
            f"they are from {groups.min()} to {groups.max()}"
        )
