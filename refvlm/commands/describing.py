"""`describe` and `ask`: what a picture shows, in words on standard output.

With --json, one object instead; `ask --memory` has a `memory` too (recalling.py):

    text                     what the model said
    prompt                   what it was asked; `ask` mends the spaces between its words
    finished                 whether it ended by itself, or was cut at the limit
    confidence               the probability of its least likely token; null for beams
    notices                  what else is worth knowing, as sentences
    seed                     of its random draws; null where none were made
    tokens                   how many tokens the answer has
    seconds_to_first_token   from the start of the command, loading included
    tokens_per_second        of the tokens after the first; null for a single one
"""

from __future__ import annotations

import argparse
import io
import math
import os
import sys
import time

from ..terminal import Progress, complain, is_terminal
from .arguments import no_more, positive, words
from .choosing import add_rules, contradiction, rules
from .notices import is_finished, notices
from .outputs import FORMATS, new_picture
from .pictures import picture_of
from .recalling import Asking, add_memory
from .saying import as_json, report, say, timing
from .status import BAD_USAGE, EXITS, GOOD


def add_describe(commands):
    """The parser of `describe IMAGE`."""
    describe = commands.add_parser(
        "describe",
        help="say what a picture shows",
        description="Say what a picture shows, word by word on standard output.",
        epilog=EXITS,
    )
    _add_picture(describe)
    describe.add_argument(
        "more", metavar="IMAGE", nargs="*", type=no_more, help=argparse.SUPPRESS
    )
    describe.add_argument(
        "--prompt",
        type=words,
        metavar="TEXT",
        help='the request (default: "Describe the image.", or none, for a model that '
        "captions: the words that a caption shall begin with)",
    )
    _add_options(describe)


def add_ask(commands):
    """The parser of `ask IMAGE QUESTION`, or with a memory of `ask QUESTION`."""
    ask = commands.add_parser(
        "ask",
        help="ask a question about a picture",
        usage="%(prog)s [OPTION ...] IMAGE QUESTION\n"
        "       %(prog)s [OPTION ...] --memory FILE [IMAGE] QUESTION",
        description="Answer a question about a picture on standard output.",
        epilog=EXITS,
    )
    image = _add_picture(ask, "; with --memory it may be left out")
    question = ask.add_argument(
        "question",
        type=words,
        nargs="+",
        metavar="QUESTION",
        help='for example "how many circles are there?"; best in quotes, for a shell '
        "may take ? for itself",
    )
    image.required = question.required = False  # a question that stands alone is both
    add_memory(ask)
    ask.add_argument(
        "--questions",
        action=_Questions,
        help="list the questions that the weights that come along know, one a line "
        "whatever else is given, and exit",
    )
    _add_options(
        ask,
        "FastVLM, LLaVA and their like; with --memory a MicroVLM-V",
        "; with --memory also memory: pictures, gate, open, novelty and shares",
    )
    ask.set_defaults(run=_ask, wrong=ask.error)


class _Questions(argparse.Action):
    """Print the list and leave, as --help does."""

    def __init__(self, option_strings, dest, **options):
        super().__init__(option_strings, dest, nargs=0, **options)

    def __call__(self, parser, *_):
        from ..scenes.wording import OF_EPISODES, as_list

        print("\n".join(as_list()))
        print("\nand with --memory, of microvlm-tiny:\n")
        print("\n".join(as_list(OF_EPISODES)))
        parser.exit(GOOD)


def _add_picture(command, more=""):
    return command.add_argument(
        "image", metavar="IMAGE", help=f"a picture, or - for standard input{more}"
    )


def _add_options(command, known="FastVLM, LLaVA and their like", more=""):
    command.add_argument(
        "--model",
        metavar="DIR",
        help=f"a checkpoint that sees and speaks ({known}), as "
        "downloaded: config.json, *.safetensors, the tokenizer and the preprocessor "
        "(default: the weights that come along, which know drawn shapes and nothing "
        "else)",
    )
    command.add_argument(
        "--max-new-tokens",
        type=positive,
        default=256,
        metavar="N",
        help="stop after N tokens, cut or not (default: %(default)s)",
    )
    command.add_argument(
        "--show-attention",
        type=new_picture,
        metavar="FILE",
        help="write a picture of where the decoder looked for each word into a new "
        f"file, in the format of its suffix: {', '.join(FORMATS)} (default: none)",
    )
    command.add_argument(
        "--verbose",
        action="store_true",
        help="report progress, and times in seconds, on standard error",
    )
    command.add_argument(
        "--json",
        action="store_true",
        help="print one JSON object: text, prompt, finished (false where it was cut), "
        "confidence (the probability of the least likely token), notices, seed, "
        f"tokens, seconds_to_first_token and tokens_per_second{more}",
    )
    add_rules(command)
    command.set_defaults(run=_answer, memory=None)


def _ask(options) -> int:
    """`_answer`, once it is known which words are the picture's and which are not."""
    image, question, wrong = options.image, options.question, options.wrong
    if options.memory and options.show_attention:
        wrong("--memory and --show-attention exclude each other")
    if image is None:
        wanted = "QUESTION" if options.memory else "IMAGE, QUESTION"
        wrong(f"the following arguments are required: {wanted}")
    if question is None:
        if not options.memory or image == "-" or os.path.isfile(image):
            wrong("the following arguments are required: QUESTION")
        options.image, options.question = None, [image]
        if not image.strip():
            wrong("argument QUESTION: a text with words in it, not an empty one")
    elif options.memory and image != "-" and not os.path.lexists(image):
        wrong(
            f"there is no picture {image!r:.200}; a question that stands alone wants "
            "quotes around it"
        )
    return _answer(options)


def _answer(options) -> int:
    import numpy as np

    from .. import pretrained
    from ..generate import Confidence

    shipped, prompt = pretrained.shipped_model(), _prompt(options)
    if not options.model and not options.memory and not shipped.is_dir():
        complain(
            f"refvlm: {shipped} is missing. Give a FastVLM checkpoint directory with "
            "--model DIR (config.json, *.safetensors, the tokenizer and the "
            "preprocessor, as downloaded)"
        )
        return BAD_USAGE
    started = time.perf_counter()
    picture = None if options.image is None else picture_of(options.image)
    asking = Asking(options.memory, options.model, picture) if options.memory else None
    if asking is not None:
        vlm, speak = asking.model, asking.stream
    else:
        vlm = _speaker(pretrained.load(options.model or shipped))
        speak = vlm.describe_stream
    prompt = vlm.family.request if prompt is None else prompt
    if options.show_attention:
        picture = vlm.read(picture)  # it is needed twice, and a pipe is read once
    if why := contradiction(options, vlm.settings):
        complain(f"refvlm: {why}")
        return BAD_USAGE
    chosen, seed = rules(options, vlm.settings)
    watch = Confidence(vlm.stop_ids)
    progress = Progress() if options.verbose or is_terminal(sys.stderr) else None
    stream = speak(
        picture,
        prompt,
        options.max_new_tokens,
        progress=progress,
        rng=np.random.default_rng(seed),
        watch=watch,
        **chosen,
    )
    ids, pieces, times = say(stream, started, not options.json, progress)
    confidence = float(watch.of(1)[0])
    timed = timing(times, vlm.settings.given(**chosen).num_beams > 1)
    answer = {
        "text": "".join(pieces).strip(),
        "prompt": prompt,
        "finished": is_finished(vlm, ids),
        "confidence": None if math.isnan(confidence) else confidence,
        "notices": notices(vlm, prompt, ids, confidence, hasattr(options, "question")),
        "seed": seed,
        **timed,
    }
    _tell(answer, asking, options.json)
    if options.verbose:
        report(timed, seed)
        if asking is not None:
            complain(asking.sentence())
    if options.show_attention:
        _show_attention(vlm, picture, prompt, ids, options.show_attention)
    return GOOD


def _tell(answer, asking, as_object):
    """The object, or what of it is worth knowing beside the words."""
    if asking is not None:
        answer["notices"] = [*asking.notices(), *answer["notices"]]
        answer["memory"] = asking.fields()
    if as_object:
        print(as_json(answer))
        return
    for notice in answer["notices"]:
        complain(f"refvlm: {notice}")


def _prompt(options):
    """What is asked: a question in one line, whatever spaces it was given with; None
    where it is left to the model."""
    if hasattr(options, "question"):
        return " ".join(" ".join(options.question).split())
    return options.prompt.strip() if options.prompt else None


def _show_attention(vlm, picture, prompt, ids, path):
    from ..analysis.attention_pictures import attention_picture, words_of
    from ..checkpoint import write_bytes

    pieces = [vlm.tokenizer.decode([token], markers=False) for token in ids]
    if not words_of(pieces):
        complain(f"refvlm: the answer has no words, so there is no {path}")
        return
    file = io.BytesIO()
    sheet = attention_picture(vlm, picture, prompt, ids)
    sheet.save(file, FORMATS[path.suffix.lower()])
    write_bytes(path, file.getvalue())


def _speaker(model):
    """The model, if it is one that answers."""
    if not hasattr(model, "describe_stream"):
        raise ValueError(
            f"{model.directory} holds a {type(model).__name__}, which has no words of "
            "its own: give a model that describes"
        )
    return model
