"""The command: describe a picture, or print a model's shapes.

    python -m refvlm describe photo.jpg --model FastVLM-0.5B --prompt "What is this?"
    python -m refvlm shapes FastVLM-0.5B

The answer goes to standard output as it comes, everything else to standard error.
Exit status: 0 done, 1 bad input, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import sys
import time
from pathlib import Path

from . import __version__
from .terminal import (
    Progress,
    complain,
    escaped,
    for_terminal,
    is_terminal,
    settle_output,
)

GOOD, BAD_INPUT, BAD_USAGE, INTERRUPTED = 0, 1, 2, 130
SHIPPED = Path(__file__).parent.parent / "weights" / "fastvlm-tiny"


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    with contextlib.suppress(AttributeError):  # a terminal that cannot write é
        sys.stdout.reconfigure(errors="replace")
    try:
        options = _parser().parse_args(arguments)
        status = options.run(options)
        if sys.stdout is not None:
            sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        complain("interrupted")
        return INTERRUPTED
    except BrokenPipeError:  # `| head` has read enough
        return GOOD
    except (ValueError, OSError, MemoryError) as error:
        kind = "out of memory: " if isinstance(error, MemoryError) else ""
        complain(f"refvlm: {kind}{error}")
        return BAD_INPUT
    finally:
        settle_output()


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m refvlm",
        description="Vision-language models in plain NumPy.",
        epilog="python -m refvlm COMMAND --help says more about a command. "
        "Nothing is fetched from a network.",
    )
    parser.add_argument("--version", action="version", version=f"refvlm {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_describe(commands)
    shapes = commands.add_parser(
        "shapes",
        help="print a model as a table of shapes",
        description="Print every stage of a model, the shape that it puts out, its "
        "parameters and FLOPs, without running it. Its config.json and "
        "preprocessor are enough.",
    )
    shapes.add_argument("model", metavar="DIR", help="a checkpoint directory")
    shapes.set_defaults(run=_shapes)
    return parser


def _add_describe(commands):
    describe = commands.add_parser(
        "describe",
        help="say what a picture shows",
        description="Say what a picture shows, word by word on standard output.",
        epilog="Exit status: 0 done, 1 bad input, 2 wrong usage, 130 interrupted.",
    )
    describe.add_argument(
        "image", metavar="IMAGE", help="a picture, or - for standard input"
    )
    describe.add_argument(
        "--model",
        metavar="DIR",
        help="a FastVLM checkpoint as downloaded: config.json, *.safetensors, the "
        "tokenizer and the preprocessor",
    )
    describe.add_argument(
        "--prompt",
        default="Describe the image.",
        metavar="TEXT",
        help="the question (default: %(default)s)",
    )
    describe.add_argument(
        "--max-new-tokens",
        type=_positive,
        default=256,
        metavar="N",
        help="stop after so many tokens (default: %(default)s)",
    )
    describe.add_argument(
        "--verbose",
        action="store_true",
        help="report progress and times on standard error",
    )
    describe.add_argument(
        "--json",
        action="store_true",
        help="print one JSON object: text, prompt, tokens and times",
    )
    describe.set_defaults(run=_describe)


def _positive(text):
    if not re.fullmatch("0*[1-9][0-9]{0,17}", text):
        raise argparse.ArgumentTypeError(f"a whole number from 1 up, not {text!r:.40}")
    return int(text)


def _describe(options) -> int:
    model = options.model or (SHIPPED if SHIPPED.is_dir() else None)
    if model is None:
        complain(
            "refvlm: no weights come with this version. Give a FastVLM checkpoint "
            "directory with --model DIR (config.json, *.safetensors, the tokenizer and "
            "the preprocessor, as downloaded)"
        )
        return BAD_USAGE
    from . import pretrained

    started = time.perf_counter()
    picture = _standard_input() if options.image == "-" else options.image
    vlm = pretrained.load(model)
    progress = Progress() if options.verbose or is_terminal(sys.stderr) else None
    pieces, times = [], []
    stream = vlm.describe_stream(
        picture, options.prompt, options.max_new_tokens, progress
    )
    try:
        for token, piece in stream:
            if token >= 0:
                times.append(time.perf_counter() - started)
            piece = piece if pieces else piece.lstrip()
            if piece:
                pieces.append(piece)
                if not options.json:
                    print(for_terminal(piece), end="", flush=True)
    finally:  # an error or Ctrl-C begins on a line of its own
        if progress is not None:
            progress.clear()
        if times and not options.json:
            print(flush=True)
    timing = _timing(times)
    if options.json:
        answer = {"text": "".join(pieces).strip(), "prompt": options.prompt, **timing}
        print(_as_json(answer))
    if options.verbose:
        _report(timing)
    return GOOD


def _standard_input():
    if sys.stdin is None or is_terminal(sys.stdin):
        raise ValueError("standard input is no picture: try `< photo.jpg`")
    return sys.stdin.buffer


def _as_json(document):
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    plain = not encoding.lower().startswith("utf")
    return escaped(json.dumps(document, ensure_ascii=plain))


def _timing(times):
    """What --verbose and --json report; the rate is of the tokens after the first."""
    rate = None
    if len(times) > 1:
        rate = (len(times) - 1) / (times[-1] - times[0])
    return {
        "tokens": len(times),
        "seconds_to_first_token": times[0],
        "tokens_per_second": rate,
    }


def _report(timing):
    rate = timing["tokens_per_second"]
    complain(
        f"time to first token {timing['seconds_to_first_token']:.2f} s, "
        f"{timing['tokens']} tokens"
        + ("" if rate is None else f", then {rate:.1f} tokens a second")
    )


def _shapes(options) -> int:
    from .analysis.shape_table import table_of

    print(table_of(options.model))
    return GOOD
