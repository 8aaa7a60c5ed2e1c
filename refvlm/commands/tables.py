"""`shapes`: a model as a table, without running it."""

from __future__ import annotations

from .status import GOOD


def add_shapes(commands):
    """The parser of `shapes DIR`."""
    shapes = commands.add_parser(
        "shapes",
        help="print a model as a table of shapes",
        description="Print every stage of a model, the shape that it puts out, its "
        "parameters and FLOPs, without running it. Its config.json and "
        "preprocessor are enough.",
    )
    shapes.add_argument(
        "model",
        metavar="DIR",
        help="a checkpoint directory of a model that sees (FastVLM, LLaVA, BLIP, "
        "MicroVLM-V, ViT, ResNet and their like), or the name of one that comes along",
    )
    shapes.set_defaults(run=_shapes)


def _shapes(options) -> int:
    from ..analysis.shape_table import table_of

    print(table_of(options.model))
    return GOOD
