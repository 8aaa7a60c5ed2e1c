"""Which laws are asked of a reader's file, and what became of them.

The functions of the file that bear an operator's name take its place in `refvlm.ops`,
or in another of `HOMES`, each while its own laws are asked: nobody answers for the
mistakes of another. Only the laws of those operators run. A derivative is asked
where the file has `<name>_vjp`, an error contract where `--contracts` is given.
"""

from collections import deque

import pytest

from refvlm.autodiff import differentiable

from ..outline import kind_of, sentence
from . import report
from .homes import TESTS, functions_of, home_of, tests_of
from .reading import borrowed, functions_in, near_names
from .witness import Witness, differs

EVIDENCE = 200  # calls that are kept of an operator, over all its laws


class Subject:
    """One operator of the reader's: what stands in its place, and its laws."""

    def __init__(self, name, functions):
        self.name, self.function = name, functions[name]
        self.home = home_of(name, self.function)
        self.original = getattr(self.home, name)
        self.note = borrowed(self.function, name, self.original)
        self.witness = Witness(self.function)
        self.vjp = functions.get(f"{name}_vjp")
        self.calls = deque(maxlen=EVIDENCE)
        self.laws = {}
        self.without_derivative = 0
        operator = differentiable(self.witness.watched())
        if self.vjp is not None:
            try:
                operator.vjp(self.witness.watched_vjp(self.vjp))
            except TypeError as error:
                raise pytest.UsageError(f"--impl: {error}") from None
        self.operator = operator

    def stand_in(self):
        setattr(self.home, self.name, self.operator)

    def step_back(self):
        setattr(self.home, self.name, self.original)

    def begin(self):
        """A law begins: what was asked before is not its affair."""
        self.stand_in()
        self.witness.calls.clear()
        self.witness.traced = False

    def wrong_call(self):
        """The last call of this law that wrote, or that refvlm answers differently."""
        calls = [
            call
            for call in self.witness.calls
            if call.written or differs(call, self.original)
        ]
        return calls[-1] if calls else None


class Student:
    """The plugin: chooses the laws, and tells at the end which hold."""

    def __init__(self, config):
        self.contracts = config.getoption("--contracts")
        self.files = config.getoption("--impl")
        functions = {}
        for file in self.files:
            functions |= functions_in(file)
        self.questions = near_names(functions)
        names = [n for n in functions if home_of(n) and not n.endswith("_vjp")]
        if not names:
            there = ", ".join(functions) or "no function of its own"
            raise pytest.UsageError(
                "\n".join(
                    [
                        f"--impl: no function has an operator's name in "
                        f"{', '.join(self.files)}, which has {there}",
                        *self.questions,
                    ]
                )
            )
        self.subjects = {name: Subject(name, functions) for name in names}
        for subject in self.subjects.values():
            subject.stand_in()  # while tests are read: some keep functions in tables
        self.printed = set()
        self._settle(config)

    def _settle(self, config):
        """Start in the right folders, and leave the tracebacks to who asks for them."""
        chosen = config.args_source is config.ArgsSource.ARGS
        if not chosen or config.args == [str(TESTS)]:
            tests = {tests_of(subject.home) for subject in self.subjects.values()}
            config.args = sorted(str(path) for path in tests if path.exists())
        if config.option.tbstyle == "auto":
            config.option.tbstyle = "short" if config.option.tracebacks else "no"
        if config.option.tbstyle == "no":
            config.option.reportchars = ""
            config.option.disable_warnings = True

    def subject_of(self, item):
        """The test's parameter `name`, or the operator that its title begins with."""
        parameters = getattr(item, "callspec", None)
        named = parameters and parameters.params.get("name")
        homes = [s.home for s in self.subjects.values() if _is_law_of(item, s.home)]
        known = {name for home in homes for name in functions_of(home)}
        if named not in known:
            title = item.originalname.removeprefix("test_") + "_"
            fitting = [name for name in known if title.startswith(f"{name}_")]
            named = max(fitting, key=len, default=None)
        subject = self.subjects.get(named)
        return subject if subject and subject.home in homes else None

    def wanted(self, item):
        subject, kind = self.subject_of(item), kind_of(item)
        if subject is None or kind in (None, "house"):
            return False
        if kind == "derivative":
            return subject.vjp is not None
        return kind != "contract" or self.contracts

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, config, items):
        chosen = [item for item in items if self.wanted(item)]
        kept = {id(item) for item in chosen}
        config.hook.pytest_deselected(items=[i for i in items if id(i) not in kept])
        items[:] = chosen

    def pytest_collection_finish(self):
        for subject in self.subjects.values():
            subject.step_back()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item):
        self.subject_of(item).begin()

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_teardown(self, item):
        self.subject_of(item).step_back()

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item, call):
        result = (yield).get_result()
        if result.when != "call" and not result.failed:
            return
        subject = self.subject_of(item)
        if result.capstdout:
            self.printed.add(subject.name)
        if result.failed and subject.witness.traced and subject.vjp is None:
            result.outcome = "skipped"  # it asks for a derivative that is not there
            result.longrepr = (str(item.path), 0, "the file has no derivative of it")
            subject.without_derivative += 1
            return
        law = subject.laws.setdefault(
            item.originalname, report.Law(kind_of(item), sentence(item))
        )
        subject.calls.extend(list(subject.witness.calls)[-4:])
        if result.failed and law.holds:
            law.holds, law.call = False, subject.wrong_call()
            law.error = call.excinfo and call.excinfo.value

    def pytest_terminal_summary(self, terminalreporter, config):
        if config.getoption("--laws"):
            return  # they were printed, and none was run
        terminalreporter.section("your implementation")
        width = min(terminalreporter._tw.fullwidth, 100)
        for line in report.lines(self, width, config.get_verbosity() > 0):
            terminalreporter.write_line(line)


def _is_law_of(item, home):
    place = tests_of(home)
    return item.path == place or place in item.path.parents
