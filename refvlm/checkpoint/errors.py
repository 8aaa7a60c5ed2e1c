"""What is said when a checkpoint is not what it should be."""

from __future__ import annotations


class CheckpointError(ValueError):
    """A file or tensor that cannot be used; the message says which, why, what to do."""


class DamagedFileError(CheckpointError):
    """A safetensors file that is cut short, or none."""


class MissingTensorError(CheckpointError, KeyError):
    """A name that the checkpoint does not hold. It is a KeyError, as in any mapping."""

    __str__ = ValueError.__str__  # KeyError would show the message in quotes


def quoted(name: object, limit: int = 120) -> str:
    """A name from outside, safe to print: escaped, and not too long.

    >>> print(quoted("model.norm"), quoted("a" * 9, limit=6))
    'model.norm' 'aaaaa...
    """
    text = repr(name)
    return text if len(text) <= limit else text[:limit] + "..."


def is_text(name: object) -> bool:
    """Whether this is a string that UTF-8 can write: no half of a surrogate pair."""
    return isinstance(name, str) and not any("\ud800" <= c <= "\udfff" for c in name)


def listed(names: list[str], limit: int = 8) -> str:
    """The first few names and how many more there are.

    >>> print(listed(["a", "b", "c"], limit=2))
    a, b and 1 more
    """
    more = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {more} more" if more > 0 else "")
