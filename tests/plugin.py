"""The spec's own options: `--laws`, `--impl FILE`, `--record-oracles`."""

import os

import hypothesis
import pytest

from . import oracles, outline
from .impl.student import Student

# The oracles stay off the network, and write what they wrote when they were recorded.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TIMM_FUSED_ATTN", "0")

hypothesis.settings.register_profile(
    "quick", max_examples=20, deadline=None, report_multiple_bugs=False
)
hypothesis.settings.register_profile(
    "ci", max_examples=100, deadline=None, report_multiple_bugs=False
)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


def pytest_addoption(parser):
    group = parser.getgroup("spec")
    group.addoption(
        "--laws", action="store_true", help="print the spec as sentences; run nothing"
    )
    group.addoption(
        "--impl",
        metavar="FILE",
        action="append",
        help="hold the laws against the functions of FILE; may be given again",
    )
    group.addoption(
        "--contracts",
        action="store_true",
        help="with --impl: check the error messages too",
    )
    group.addoption(
        "--tracebacks",
        action="store_true",
        help="with --impl: show where in the file each law broke",
    )
    group.addoption(
        "--record-oracles",
        action="store_true",
        help="write the oracles' answers to tests/oracle (needs torch)",
    )


def pytest_configure(config):
    for kind, meaning in outline.KINDS.items():
        config.addinivalue_line("markers", f"{kind}: {meaning}")
    for option in ("--contracts", "--tracebacks"):
        if config.getoption(option) and not config.getoption("--impl"):
            raise pytest.UsageError(f"{option} does nothing without --impl FILE")
    if config.getoption("--record-oracles") and config.getoption("-n", None):
        raise pytest.UsageError("--record-oracles writes one file from one process")
    if config.getoption("--impl"):
        config.pluginmanager.register(Student(config), "student")
    if config.getoption("--laws"):
        config.pluginmanager.register(outline.Outline(), "outline")


_records = {}


@pytest.fixture
def compare(request):
    """compare(ours, reference, *inputs): see tests/oracles.py."""
    relative = request.path.relative_to(oracles.FOLDER.parent).with_suffix("")
    path = oracles.FOLDER / ("-".join(relative.parts) + ".safetensors")
    record = _records.setdefault(path, oracles.Record(path))
    recording = request.config.getoption("--record-oracles")
    return oracles.Compare(record, request.node.name, recording)


def pytest_sessionfinish():
    for record in _records.values():
        record.save()
