"""`pytest --impl FILE`: hold the laws against a reader's own functions.

The functions of the file that bear an operator's name take its place in
`refvlm.ops` (or in another of `HOMES`); only the laws of those operators run. A
derivative is checked where the file has `<name>_vjp`, an error contract where
`--contracts` is given.
"""

import importlib.util
import inspect
from pathlib import Path

import pytest

from refvlm import ops, text
from refvlm.autodiff import differentiable
from refvlm.blocks.convolutional import reparameterization

from .outline import kind_of, sentence

TESTS = Path(__file__).parent
FOLDERS = ("ops", "blocks", "text")
HOMES = (ops, reparameterization, text)  # where a reader's function may take a place


def home_of(name):
    """The module that has a function of this name, or None."""
    return next((home for home in HOMES if hasattr(home, name)), None)


class Student:
    def __init__(self, config):
        self.contracts = config.getoption("--contracts")
        self.functions = {}
        for file in config.getoption("--impl"):
            self.functions |= _functions_of(Path(file))
        self.names = [name for name in self.functions if home_of(name)]
        self.names = [name for name in self.names if not name.endswith("_vjp")]
        if not self.names:
            raise pytest.UsageError(
                f"--impl: no function has an operator's name in "
                f"{', '.join(config.getoption('--impl'))}, "
                f"which has {', '.join(self.functions) or 'no functions'}"
            )
        self.known = sorted(
            (n for home in HOMES for n in dir(home) if callable(getattr(home, n))),
            key=len,
            reverse=True,
        )
        for name in self.names:
            operator = differentiable(self.functions[name])
            if f"{name}_vjp" in self.functions:
                try:
                    operator.vjp(self.functions[f"{name}_vjp"])
                except TypeError as error:
                    raise pytest.UsageError(f"--impl: {error}") from None
            setattr(home_of(name), name, operator)
        self.outcomes = {}

    def operator_of(self, item):
        """The test's parameter `name`, or the operator that its title begins with."""
        parameters = getattr(item, "callspec", None)
        named = parameters and parameters.params.get("name")
        if named in self.known:
            return named
        title = item.originalname.removeprefix("test_")
        return next((n for n in self.known if f"{title}_".startswith(f"{n}_")), None)

    def wanted(self, item):
        name = self.operator_of(item)
        if name not in self.names:
            return False
        kind = kind_of(item)
        if kind == "derivative":
            return f"{name}_vjp" in self.functions
        if kind == "house":
            return False
        return kind != "contract" or self.contracts

    def pytest_ignore_collect(self, collection_path):
        """Laws of operators are in these folders; what else is tested is ours."""
        inside = collection_path.is_relative_to(TESTS) and collection_path != TESTS
        if inside and collection_path.relative_to(TESTS).parts[0] not in FOLDERS:
            return True
        return None

    def pytest_collection_modifyitems(self, config, items):
        chosen = [item for item in items if self.wanted(item)]
        config.hook.pytest_deselected(items=[i for i in items if i not in chosen])
        items[:] = chosen

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item, call):
        report = (yield).get_result()
        if report.when == "call" or report.failed:
            name = self.operator_of(item)
            laws = self.outcomes.setdefault(name, {})
            holds, why = laws.get(item.originalname, (True, ""))
            if report.failed and holds:
                why = "" if call.excinfo is None else _reason(call.excinfo.value)
            laws[item.originalname] = (holds and report.passed, why)
            self.sentences = getattr(self, "sentences", {})
            self.sentences[item.originalname] = (kind_of(item), sentence(item))

    def pytest_terminal_summary(self, terminalreporter):
        line = terminalreporter.write_line
        terminalreporter.section("your implementation")
        for name, laws in self.outcomes.items():
            broken = sum(not holds for holds, _ in laws.values())
            line(f"{name}: {len(laws) - broken} of {len(laws)} statements hold")
            for test, (holds, why) in laws.items():
                kind, text = self.sentences[test]
                line(f"  {'holds' if holds else 'BREAKS':6}  {kind or '':10}  {text}")
                if not holds:
                    line(f"{'':20}  {why}")
            vjp = f"{name}_vjp"
            if vjp not in self.functions and hasattr(home_of(name), vjp):
                line(f"  not asked: its derivative (the file has no {name}_vjp)")


def _functions_of(path):
    if not path.is_file():
        raise pytest.UsageError(f"--impl: there is no file {path}")
    spec = importlib.util.spec_from_file_location("student_implementation", path)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise pytest.UsageError(f"--impl: {path} does not import: {error!r}") from error
    return {
        name: value
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__
    }


def _reason(error):
    """The first lines of a failure that say something to a person."""
    text = str(error).strip().split("\nassert")[0]
    return " ".join(text.split())[:300] or type(error).__name__
