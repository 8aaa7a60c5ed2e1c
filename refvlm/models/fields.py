"""Reading a configuration: every value checked, every error says which and what."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from ..arguments import is_whole
from ..checkpoint import read_json

Built = TypeVar("Built")
FILE_LIMIT = 1 << 20  # bytes; a published config.json has some thousands
MAX_STAGES, MAX_BLOCKS = 64, 1024  # of a tower; ResNet-152 has 4 and 50


class ConfigError(ValueError):
    """A configuration that describes no model we can build; the message says why."""


def read(path: Path) -> dict[str, Any]:
    """The JSON object in a file."""
    return read_json(path, FILE_LIMIT)


def built(path: Path, document: Mapping, build: Callable[[Mapping], Built]) -> Built:
    """What `build` makes of the document of a file; errors name the file."""
    try:
        return build(document)
    except ConfigError as error:
        problem = str(error).removeprefix("config.json: ")
        raise ConfigError(f"{path}: {problem}") from None


def section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The object `name` inside a configuration."""
    value = config.get(name)
    if not isinstance(value, Mapping):
        raise ConfigError(f"config.json: {name} must be an object, not {value!r:.60}")
    return value


def whole(config, name, default=None, low=1, high=1 << 24) -> int:
    """A whole number between `low` and `high`."""
    value = config.get(name, default)
    if not is_whole(value) or not low <= value <= high:
        raise ConfigError(
            f"config.json: {name} must be a whole number from {low} to {high}, "
            f"not {value!r:.60}"
        )
    return value


def number(config, name, default=None, low=0.0, high=1e12) -> float:
    """A number above `low`, at most `high`."""
    value = config.get(name, default)
    if type(value) not in (int, float) or not low < value <= high:
        raise ConfigError(
            f"config.json: {name} must be a number above {low:g}, at most {high:g}, "
            f"not {value!r:.60}"
        )
    return float(value)


def flag(config, name, default=None) -> bool:
    """true or false."""
    value = config.get(name, default)
    if type(value) is not bool:
        raise ConfigError(f"config.json: {name} must be true or false: {value!r:.60}")
    return value


def only(config, name, *allowed, default=None):
    """A value that must be one of those implemented here."""
    value = config.get(name, default)
    if value not in allowed:
        raise ConfigError(
            f"config.json: {name} is {value!r:.60}, but only "
            f"{' or '.join(map(repr, allowed))} is implemented"
        )
    return value


def wholes(config, name, default, entries=None, low=1, high=1 << 24) -> tuple[int, ...]:
    """A list of whole numbers between `low` and `high`, one for each stage."""
    values = config.get(name, default)
    longest = MAX_STAGES if entries is None else entries
    if (
        not isinstance(values, (list, tuple))
        or not (entries or 1) <= len(values) <= longest
    ):
        count = f"from 1 to {MAX_STAGES}" if entries is None else f"{entries}"
        raise ConfigError(
            f"config.json: {name} must be a list of {count} whole numbers, one for "
            f"each stage, not {values!r:.60}"
        )
    return tuple(whole({name: value}, name, low=low, high=high) for value in values)
