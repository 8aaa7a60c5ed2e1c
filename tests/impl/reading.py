"""A reader's file, read: its functions, or a sentence that says what is wrong."""

import difflib
import importlib.util
import inspect
import sys
import traceback
from pathlib import Path

import pytest

from .homes import HOMES, functions_of


def functions_in(path):
    """name -> function, of those that the file itself defines; what it imports is not
    the reader's."""
    path = Path(path)
    if path.is_dir():
        raise pytest.UsageError(f"--impl: {path} is a folder: name a file in it")
    if not path.is_file():
        raise pytest.UsageError(f"--impl: there is no file {path}")
    spec = importlib.util.spec_from_file_location("readers_file", path)
    if spec is None:
        raise pytest.UsageError(f"--impl: {path} does not end in .py")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        line = f"\n  {error.text.strip()}" if error.text else ""
        raise pytest.UsageError(
            f"--impl: {path}, line {error.lineno}: {error.msg}{line}"
        ) from None
    except SystemExit:
        raise pytest.UsageError(
            f"--impl: {path}{_line_of(path)}: it leaves Python while it is read; put "
            f'what is no definition behind `if __name__ == "__main__":`'
        ) from None
    except Exception as error:
        raise pytest.UsageError(
            f"--impl: {path}{_line_of(path)}: {type(error).__name__}: {error}"
        ) from None
    return {
        name: value
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__
    }


def _line_of(path):
    """Where the file stood when the error was raised that is being handled."""
    frames = traceback.extract_tb(sys.exc_info()[2])
    lines = [frame.lineno for frame in frames if Path(frame.filename) == path]
    return f", line {lines[-1]}" if lines else ""


def near_names(functions):
    """A question for each function whose name is almost an operator's."""
    known = {name for home in HOMES for name in functions_of(home)}
    known |= {f"{name}_vjp" for name in known}
    questions = []
    for name in functions:
        near = difflib.get_close_matches(name, known, 1, 0.85)
        if name not in known and near and near[0] not in functions:
            questions.append(f"{name}: did you mean {near[0]}?")
    return questions


def borrowed(function, name, original):
    """What to say of a function that asks refvlm for its own answer, or ""."""
    if _calls(function, original):
        return f"{name} calls refvlm's own {name}: nothing of yours is checked."
    for module in _modules_of(function):
        if name in function.__code__.co_names and name in functions_of(module):
            return (
                f"{name} calls {module.__name__.rpartition('.')[2]}.{name}, in whose "
                f"place it stands: it calls itself, without end."
            )
    return ""


def _calls(function, original):
    names = function.__code__.co_names
    values = [function.__globals__.get(name) for name in names]
    for module in filter(inspect.ismodule, list(values)):
        if module not in HOMES:
            values += [getattr(module, name, None) for name in names]
    return any(value is original for value in values)


def _modules_of(function):
    values = map(function.__globals__.get, function.__code__.co_names)
    return [v for v in values if inspect.ismodule(v) and v in HOMES]
