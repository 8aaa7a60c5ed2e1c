"""An answer as it comes: printed piece by piece, timed, and summed up at the end."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable

from ..terminal import Progress, complain, escaped, for_terminal


def say(
    stream: Iterable[tuple[int, str]],
    started: float,
    printing: bool,
    progress: Progress | None = None,
    stripped: bool = True,
) -> tuple[list[int], list[str], list[float]]:
    """(ids, pieces of text, seconds since `started`) of an answer, printed as it comes.

    `stripped` takes away the white space at its beginning.
    """
    ids: list[int] = []
    pieces: list[str] = []
    times: list[float] = []
    try:
        for token, piece in stream:
            if token >= 0:
                ids.append(token)
                times.append(time.perf_counter() - started)
            piece = piece if pieces or not stripped else piece.lstrip()
            if piece:
                pieces.append(piece)
                if printing:
                    print(for_terminal(piece), end="", flush=True)
    finally:  # an error or Ctrl-C begins on a line of its own
        if progress is not None:
            progress.clear()
        if times and printing:
            print(flush=True)
    return ids, pieces, times


def as_json(document) -> str:
    """One object in one line, in what the output can write."""
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    plain = not encoding.lower().startswith("utf")
    return escaped(json.dumps(document, ensure_ascii=plain, allow_nan=False))


def timing(times: list[float], at_once: bool) -> dict[str, float | int | None]:
    """What --verbose and --json report; the rate is of the tokens after the first, of
    which there is none where all come at once, as beams do."""
    rate = None
    if len(times) > 1 and not at_once:
        rate = (len(times) - 1) / (times[-1] - times[0])
    return {
        "tokens": len(times),
        "seconds_to_first_token": times[0] if times else None,
        "tokens_per_second": rate,
    }


def report(timed, seed: int | None) -> None:
    """The same in words on standard error, and the seed that says it again."""
    first, rate = timed["seconds_to_first_token"], timed["tokens_per_second"]
    said = [f"{timed['tokens']} tokens"]
    if first is not None:
        said.insert(0, f"time to first token {first:.2f} s")
    if rate is not None:
        said.append(f"then {rate:.1f} tokens a second")
    if seed is not None:
        said.append(f"drawn with --seed {seed}")
    complain(", ".join(said))


def kind_of(model) -> str:
    """What a model is, for who gave it to a command that needs another."""
    return "MicroVLM-V" if hasattr(model, "remember") else type(model).__name__
