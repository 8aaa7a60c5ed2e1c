"""`quantize`: a model in fewer bits, as a new folder beside the old.

python -m refvlm quantize FastVLM-0.5B --scheme nf4 --out FastVLM-0.5B-nf4
python -m refvlm quantize FastVLM-0.5B --scheme mixed --budget 5 --out FastVLM-0.5B-5
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

from ..terminal import complain, end_line, is_terminal, show_line
from .arguments import bits
from .interrupting import as_ctrl_c
from .outputs import unwritable
from .status import BAD_USAGE, EXITS, GOOD

SCHEMES = {
    "int8": "256 even steps for each 64 numbers of a row (32 where 64 does not divide "
    "it), laid out as MLX does (mlx-lm reads those of LLaMA and Qwen2)",
    "int4": "16 even steps",
    "int2": "4 even steps",
    "nf4": "16 levels of a normal distribution, laid out as by bitsandbytes",
    "nf4-double": "the same, with its scales in 8 bits and a second code book, which "
    "pays for large matrices only",
    "ternary": "-1, 0 and 1, in a layout of our own",
    "mixed": "2 to 8 bits, for each matrix as many as do most good",
}
WORST = 3  # matrices whose error is told


def add_quantize(commands):
    """The parser of `quantize DIR`."""
    quantize = commands.add_parser(
        "quantize",
        help="write a model in fewer bits",
        description="Write a model whose linear layers have fewer bits, all but the "
        "output head; embeddings, norms and convolutions stay as they are. What there "
        f"is: {'; '.join(f'{name}, {says}' for name, says in SCHEMES.items())}. "
        "This package loads all of them.",
        epilog=EXITS,
    )
    quantize.add_argument(
        "model",
        metavar="DIR",
        help="a float checkpoint of any family that is loaded here, or the name of "
        "one that comes along",
    )
    quantize.add_argument(
        "--scheme", choices=SCHEMES, required=True, help="how the numbers are packed"
    )
    quantize.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        required=True,
        help="where the result is written, a new folder",
    )
    quantize.add_argument(
        "--budget",
        type=bits,
        metavar="BITS",
        help="of mixed: the most that a weight may take on average, its scales "
        "included (default: as many as int4 takes)",
    )
    quantize.set_defaults(run=_quantize)


def _quantize(options) -> int:
    from .. import pretrained

    if options.budget is not None and options.scheme != "mixed":
        complain(f"refvlm: --budget is for mixed: {options.scheme} has its own bits")
        return BAD_USAGE
    if why := unwritable(options.out.parent):
        raise ValueError(f"{options.out} cannot be written: {why}")
    progress = show_line if is_terminal(sys.stderr) else None
    given = options.model, options.out, options.scheme, options.budget
    try:
        with as_ctrl_c("SIGTERM", "SIGHUP"):
            report = pretrained.quantize(*given, progress)
    finally:
        if progress is not None:
            end_line()
    _tell(report)
    print(options.out)
    return GOOD


def _tell(report) -> None:
    """Bytes before and after, and the largest errors, on standard error."""
    before, after = report.bytes_before, report.bytes_after
    complain(
        f"{len(report.layers)} matrices in {report.bits:.2f} bits a weight, scales "
        f"and code books included; {before:,} bytes of weights before, {after:,} "
        f"after, {100 * after / before:.0f} %"
    )
    if report.kept:
        more = f" and {len(report.kept) - 1} more" if len(report.kept) > 1 else ""
        complain(
            f"as they are: {report.kept[0]}{more}, whose rows no group of 64 or 32 "
            "divides"
        )
    complain("the largest errors, as signal over noise:")
    for layer in report.worst(WORST):
        said = f"{layer.sqnr:6.2f} dB" if math.isfinite(layer.sqnr) else "  exact"
        complain(f"  {said}  {layer.name}")
