"""Which laws hold, in whole sentences: at most a screen for one operator.

What is broken comes first, with what was asked, expected and answered; a hint stands
at the top, since one slip breaks several laws.
"""

import textwrap
from dataclasses import dataclass
from typing import Any

from . import wording
from .hints import hints
from .witness import same

LONGEST = 52  # lines for one operator
TOLD = 5  # broken laws that are told with their call; of the others, the sentence


@dataclass
class Law:
    """One law of an operator, and what became of it."""

    kind: str
    sentence: str
    holds: bool = True
    error: Any = None
    call: Any = None  # the reader's call that refvlm answers differently


def lines(student, width, everything=False):
    """The whole report."""
    for subject in student.subjects.values():
        yield from _of_subject(
            subject, subject.name in student.printed, width, everything
        )
    yield from student.questions


def _of_subject(subject, prints, width, everything):
    laws = list(subject.laws.values())
    broken = [law for law in laws if not law.holds]
    holding = [law for law in laws if law.holds]
    if not laws:
        yield f"{subject.name}: no law was asked"
        return
    yield f"{subject.name}: {len(holding)} of {len(laws)} statements hold"
    above = [*_notes(subject, prints, bool(broken))]
    above = [line for note in above for line in _wrapped("  hint: ", note, width)]
    yield from above
    room = 10**6 if everything else LONGEST - len(above)
    told = 10**6 if everything else TOLD
    left = 0
    for number, law in enumerate([*broken, *holding]):
        text = _of_law(law, subject, width, number < told)
        room -= len(text)
        if room < 0:
            left += 1
        else:
            yield from text
    if left:
        yield f"  and {left} more; -v tells all of them"
    yield from _not_asked(subject)


def _notes(subject, prints, breaks):
    if subject.note:
        yield subject.note
    if breaks and not subject.note:
        yield from hints(
            subject.name, subject.function, subject.original, list(subject.calls)
        )
    if prints:
        yield "It prints while it computes: what is returned counts."


def _not_asked(subject):
    vjp = f"{subject.name}_vjp"
    if subject.vjp is None and (
        subject.without_derivative or hasattr(subject.home, vjp)
    ):
        yield f"  not asked: its derivative (the file has no {vjp})"


def _of_law(law, subject, width, with_call):
    verdict = "holds" if law.holds else "BREAKS"
    text = _wrapped(f"  {verdict:6}  {law.kind:10}  ", law.sentence, width)
    if not law.holds and with_call:
        for title, words in _told(law, subject):
            text += _wrapped(f"{'':20}{title:10}", words, width)
    return text


def _told(law, subject):
    """(title, words) of what was asked, expected and answered."""
    call = law.call
    if call is None:
        yield "", _reason(law.error)
        return
    name = subject.name if call.d_out is None else f"the gradient of {subject.name}"
    yield "asked:", wording.of_call(name, call)
    if call.written:
        yield "expected:", "arguments that stay as they are"
        yield "came:", "an argument with other numbers in it"
        return
    expected, refused = call.again(subject.original)
    came = call.result
    if refused is not None or call.error is not None:
        right = wording.of_error(refused) if refused else wording.of_value(expected)
        wrong = wording.of_error(call.error) if call.error else wording.of_value(came)
    else:
        right, wrong = wording.of_difference(*_part(expected, came))
    yield "expected:", right
    yield "came:", wrong


def _part(expected, came):
    """Of several results, the first two that differ."""
    if not isinstance(expected, tuple) or not isinstance(came, tuple):
        return expected, came
    for right, wrong in zip(expected, came):
        if right is not None and wrong is not None and not same(wrong, right, 1e-6):
            return right, wrong
    return expected, came


def _reason(error):
    """The first lines of a failure that say something to a person."""
    text = str(error).strip().split("\nassert")[0].split("\n +")[0]
    text = " ".join(text.split("\nMismatch")[0].split())
    return wording.cut(text) or type(error).__name__


def _wrapped(before, text, width):
    return textwrap.wrap(
        text,
        max(width, 60),
        initial_indent=before,
        subsequent_indent=" " * len(before),
        break_long_words=False,
    ) or [before.rstrip()]
