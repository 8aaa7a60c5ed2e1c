"""Fail if a test was skipped, deselected or expected to fail: it proved nothing.

    python tools/every_test_ran.py test-results.xml test-output.txt

The results file knows skips and expected failures; deselected and unexpectedly
passing tests appear only in pytest's closing line.
"""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

CLOSING = re.compile(r"^=* ?\d+ (passed|failed|error).* in [\d.]+s")
NOT_RUN = re.compile(r"\d+ (skipped|xfailed|xpassed|deselected)")


def unproved(results: Path, output: Path) -> list[str]:
    """One sentence for each test that did not do its work."""
    tests = list(ElementTree.parse(results).iter("testcase"))
    sentences = [
        f"{test.get('classname')}::{test.get('name')}: {reason.get('message', '')}"
        for test in tests
        for reason in test.iter("skipped")
    ]
    lines = output.read_text(encoding="utf-8").splitlines()
    closing = [line for line in lines if CLOSING.match(line)]
    if not tests or not closing:
        sentences.append("pytest did not finish: it has no tests or no closing line")
    sentences += [line for line in closing[-1:] if NOT_RUN.search(line)]
    return sentences


def main() -> int:
    sentences = unproved(Path(sys.argv[1]), Path(sys.argv[2]))
    print(
        *sentences or ["no test was skipped, deselected or expected to fail"], sep="\n"
    )
    return 1 if sentences else 0


if __name__ == "__main__":
    sys.exit(main())
