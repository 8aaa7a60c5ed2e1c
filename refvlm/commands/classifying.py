"""`classify`: the likeliest classes of a picture, a line for each on standard output.

    python -m refvlm classify photo.jpg --model vit-base-patch16-224

With --json, one object instead:

    classes      the likeliest first, each with label and probability
    seconds      from the start of the command, loading included
"""

from __future__ import annotations

import argparse
import time

from ..terminal import printable
from .arguments import no_more, positive
from .pictures import picture_of
from .saying import as_json
from .status import EXITS, GOOD


def add_classify(commands):
    """The parser of `classify IMAGE`."""
    classify = commands.add_parser(
        "classify",
        help="name what a picture shows, by a model that classifies",
        description="Print the likeliest classes of a picture with their "
        "probabilities, the best first.",
        epilog=EXITS,
    )
    classify.add_argument(
        "image", metavar="IMAGE", help="a picture, or - for standard input"
    )
    classify.add_argument(
        "more", metavar="IMAGE", nargs="*", type=no_more, help=argparse.SUPPRESS
    )
    classify.add_argument(
        "--model",
        required=True,
        metavar="DIR",
        help="a checkpoint that classifies (ViT, DeiT, ResNet, ConvNeXt), as "
        "transformers or timm publish it; none comes along",
    )
    classify.add_argument(
        "--top",
        type=positive,
        default=5,
        metavar="N",
        help="print the N likeliest classes (default: %(default)s)",
    )
    classify.add_argument(
        "--json",
        action="store_true",
        help="print one JSON object: classes, each with label and probability, and "
        "seconds",
    )
    classify.set_defaults(run=_classify)


def _classify(options) -> int:
    from .. import pretrained

    started = time.perf_counter()
    picture = picture_of(options.image)
    model = pretrained.load(options.model)
    if not isinstance(model, pretrained.VisionModel):
        raise ValueError(
            f"{model.directory} holds a {type(model).__name__}, which has no classes "
            "of its own: give a model that classifies"
        )
    named = model.classify(picture, options.top)
    if options.json:
        classes = [{"label": name, "probability": share} for name, share in named]
        seconds = time.perf_counter() - started
        print(as_json({"classes": classes, "seconds": seconds}))
    else:
        for name, share in named:
            print(f"{100 * share:5.1f} %  {printable(name)}")
    return GOOD
