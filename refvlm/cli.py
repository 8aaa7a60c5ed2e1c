"""The command: describe a picture, ask about it, train a model, score it.

    python -m refvlm describe photo.jpg
    python -m refvlm ask photo.jpg "how many circles are there?"
    python -m refvlm ask --questions
    python -m refvlm describe photo.jpg --model FastVLM-0.5B --prompt "What is this?"
    python -m refvlm describe photo.jpg --temperature 0.8 --seed 1
    python -m refvlm remember monday.png tuesday.png --memory week.memory
    python -m refvlm ask --memory week.memory "in which picture was the ring?"
    python -m refvlm forget 1 --memory week.memory
    python -m refvlm classify photo.jpg --model vit-base-patch16-224
    python -m refvlm complete "Once upon a time" --model gpt2
    python -m refvlm perplexity book.txt --model gpt2
    python -m refvlm tokenize "an unseen word" --train book.txt
    python -m refvlm shapes FastVLM-0.5B
    python -m refvlm quantize FastVLM-0.5B --scheme nf4 --out FastVLM-0.5B-nf4
    python -m refvlm train fastvlm-tiny
    python -m refvlm score weights/fastvlm-tiny
    python -m refvlm score weights/fastvlm-tiny --limits
    python -m refvlm spec --laws

The answer goes to standard output as it comes, everything else to standard error.
Exit status: 0 done, 1 bad input, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import argparse
import errno
import io
import sys

from . import __version__
from .commands.classifying import add_classify
from .commands.completing import add_complete, add_perplexity
from .commands.describing import add_ask, add_describe
from .commands.learning import add_score, add_train
from .commands.quantizing import add_quantize
from .commands.remembering import add_forget, add_remember
from .commands.spec import add_spec
from .commands.status import BAD_INPUT, GOOD, INTERRUPTED
from .commands.tables import add_shapes
from .commands.tokenizing import add_tokenize
from .terminal import complain, settle_output


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal may not write é
        sys.stdout.reconfigure(errors="replace")
    try:
        options = _options(arguments)
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
        complain(f"refvlm: {_said(error)}")
        return BAD_INPUT
    finally:
        settle_output()


def _options(arguments):
    """The parsed arguments. --help and --version leave here, once they are written."""
    try:
        return _parser().parse_args(arguments)
    except SystemExit:
        if sys.stdout is not None:
            sys.stdout.flush()
        raise


def _said(error):
    """An error in words; only standard output fails without a name."""
    if isinstance(error, MemoryError):
        return f"out of memory: {error}"
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"{error.filename or 'standard output'}: {error.strerror}"
    return str(error)


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m refvlm",
        description="Vision-language models in plain NumPy.",
        epilog="python -m refvlm COMMAND --help says more about a command. "
        "Nothing is fetched from a network.",
    )
    parser.add_argument("--version", action="version", version=f"refvlm {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    add_describe(commands)
    add_ask(commands)
    add_remember(commands)
    add_forget(commands)
    add_classify(commands)
    add_complete(commands)
    add_perplexity(commands)
    add_tokenize(commands)
    add_shapes(commands)
    add_quantize(commands)
    add_train(commands)
    add_score(commands)
    add_spec(commands)
    return parser
