"""`pytest --laws`: the spec as an outline of sentences."""

import pytest

KINDS = {
    "example": "small numbers that a person can check",
    "law": "a property that holds for every input",
    "oracle": "agreement with a reference implementation",
    "derivative": "the vjp against central differences",
    "contract": "what bad input gets",
    "house": "how this package is built, whatever stands in for its operators",
}


def kind_of(item):
    """The kind of a test, or None where it is not part of the spec."""
    return next((kind for kind in KINDS if item.get_closest_marker(kind)), None)


def sentence(item):
    """The law as a sentence: the first paragraph of its docstring, or its name."""
    text = (getattr(item.obj, "__doc__", None) or "").strip().split("\n\n")[0]
    return " ".join(text.split()) or item.originalname.removeprefix("test_").replace(
        "_", " "
    )


class Outline:
    """Prints every collected test as a sentence, by file and kind; runs nothing."""

    count = 0

    @pytest.hookimpl(trylast=True)  # after -k and -m have chosen
    def pytest_collection_modifyitems(self, config, items):
        write = config.get_terminal_writer().line
        folder = seen = None
        for item in items:
            if item.path != folder:
                folder, seen = item.path, set()
                write(f"\n{item.path.relative_to(config.rootpath)}")
            if item.originalname in seen:
                continue
            seen.add(item.originalname)
            self.count += 1
            write(f"  {kind_of(item) or 'test':10}  {sentence(item)}")
        write(f"\n{self.count} statement{'s' * (self.count != 1)}")
        items.clear()

    def pytest_sessionfinish(self, session):
        if self.count and session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
            session.exitstatus = pytest.ExitCode.OK  # none is run, as was asked
