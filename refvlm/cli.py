"""The command: describe a picture, or print a model's shapes.

    python -m refvlm describe photo.jpg --model FastVLM-0.5B --prompt "What is this?"
    python -m refvlm shapes FastVLM-0.5B

The answer goes to standard output as it comes, everything else to standard error.
Exit status: 0 done, 1 bad input, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

GOOD, BAD_INPUT, BAD_USAGE, INTERRUPTED = 0, 1, 2, 130
PROGRESS_WIDTH = 20
SHIPPED = Path(__file__).parent.parent / "weights" / "fastvlm-tiny"


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # `| head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return GOOD
    except (ValueError, OSError, MemoryError) as error:
        message = str(error) or type(error).__name__
        print(f"refvlm: {message}", file=sys.stderr)
        return BAD_INPUT


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m refvlm", description="Vision-language models in plain NumPy."
    )
    commands = parser.add_subparsers(dest="command", required=True)

    describe = commands.add_parser("describe", help="say what a picture shows")
    describe.add_argument("image", help="a picture, or - for standard input")
    describe.add_argument("--model", metavar="DIR", help="a checkpoint directory")
    describe.add_argument("--prompt", default="Describe the image.")
    describe.add_argument("--max-new-tokens", type=_positive, default=256, metavar="N")
    describe.add_argument(
        "--verbose", action="store_true", help="report times on standard error"
    )
    describe.add_argument("--json", action="store_true", help="print one JSON object")
    describe.set_defaults(run=_describe)

    shapes = commands.add_parser("shapes", help="print a model as a table of shapes")
    shapes.add_argument("model", metavar="DIR", help="a checkpoint directory")
    shapes.set_defaults(run=_shapes)
    return parser


def _positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {value}")
    return value


def _describe(options) -> int:
    model = options.model or (SHIPPED if SHIPPED.is_dir() else None)
    if model is None:
        print(
            "refvlm: no weights come with this version. Give a FastVLM checkpoint "
            "directory with --model DIR (config.json, *.safetensors, the tokenizer and "
            "the preprocessor, as downloaded)",
            file=sys.stderr,
        )
        return BAD_USAGE
    from . import pretrained

    started = time.perf_counter()
    picture = sys.stdin.buffer if options.image == "-" else options.image
    vlm = pretrained.load(model)
    progress = _progress(options.verbose)
    pieces, times = [], []
    for token, piece in vlm.describe_stream(
        picture, options.prompt, options.max_new_tokens, progress
    ):
        if token >= 0:
            times.append(time.perf_counter() - started)
        piece = piece if pieces else piece.lstrip()
        if piece:
            pieces.append(piece)
            if not options.json:
                print(piece, end="", flush=True)
    timing = _timing(times)
    if options.json:
        answer = {"text": "".join(pieces).strip(), "prompt": options.prompt, **timing}
        print(json.dumps(answer, ensure_ascii=False))
    else:
        print()
    if options.verbose:
        rate = timing["tokens_per_second"]
        print(
            f"time to first token {timing['seconds_to_first_token']:.2f} s, "
            f"{timing['tokens']} tokens"
            + ("" if rate is None else f", then {rate:.1f} tokens a second"),
            file=sys.stderr,
        )
    return GOOD


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


def _progress(verbose):
    """A line on standard error that grows while the picture is encoded."""
    if not (verbose or sys.stderr.isatty()):
        return None

    shown = -1

    def show(done, blocks):
        nonlocal shown
        filled = PROGRESS_WIDTH * done // blocks
        if filled == shown:
            return
        shown = filled
        bar = "#" * filled + "." * (PROGRESS_WIDTH - filled)
        line = f"looking at the picture [{bar}]"
        if not sys.stderr.isatty():
            print(line, file=sys.stderr)
        elif done < blocks:
            print("\r" + line, end="", file=sys.stderr)
        else:
            print("\r" + " " * len(line) + "\r", end="", file=sys.stderr)
        sys.stderr.flush()

    return show


def _shapes(options) -> int:
    from .analysis.shape_table import table_of

    print(table_of(options.model))
    return GOOD
