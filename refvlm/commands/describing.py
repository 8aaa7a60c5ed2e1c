"""`describe` and `ask`: what a picture shows, in words on standard output.

With --json, one object instead:

    text                     what the model said
    prompt                   what it was asked; `ask` mends the spaces between its words
    finished                 whether it ended by itself, or was cut at the limit
    confidence               the probability of its least likely token
    notices                  what else is worth knowing, as sentences
    tokens                   how many tokens the answer has
    seconds_to_first_token   from the start of the command, loading included
    tokens_per_second        of the tokens after the first; null for a single one
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import time

from ..terminal import Progress, complain, escaped, for_terminal, is_terminal
from .arguments import no_more, positive, words
from .notices import is_finished, notices
from .outputs import FORMATS, new_picture
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
        help='the request (default: "Describe the image.")',
    )
    _add_options(describe)


def add_ask(commands):
    """The parser of `ask IMAGE QUESTION`."""
    ask = commands.add_parser(
        "ask",
        help="ask a question about a picture",
        description="Answer a question about a picture on standard output.",
        epilog=EXITS,
    )
    _add_picture(ask)
    ask.add_argument(
        "question",
        type=words,
        nargs="+",
        metavar="QUESTION",
        help='for example "how many circles are there?"; best in quotes, for a shell '
        "may take ? for itself",
    )
    ask.add_argument(
        "--questions",
        action=_Questions,
        help="list the questions that the weights that come along know, one a line "
        "whatever else is given, and exit",
    )
    _add_options(ask)


class _Questions(argparse.Action):
    """Print the list and leave, as --help does."""

    def __init__(self, option_strings, dest, **options):
        super().__init__(option_strings, dest, nargs=0, **options)

    def __call__(self, parser, *_):
        from ..scenes.wording import as_list

        print("\n".join(as_list()))
        parser.exit(GOOD)


def _add_picture(command):
    command.add_argument(
        "image", metavar="IMAGE", help="a picture, or - for standard input"
    )


def _add_options(command):
    command.add_argument(
        "--model",
        metavar="DIR",
        help="a FastVLM checkpoint as downloaded: config.json, *.safetensors, the "
        "tokenizer and the preprocessor (default: the weights that come along, which "
        "know drawn shapes and nothing else)",
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
        "confidence (the probability of the least likely token), notices, tokens, "
        "seconds_to_first_token and tokens_per_second",
    )
    command.set_defaults(run=_answer)


def _answer(options) -> int:
    from .. import pretrained
    from ..generate import Confidence

    shipped, prompt = pretrained.shipped_model(), _prompt(options)
    if not options.model and not shipped.is_dir():
        complain(
            f"refvlm: {shipped} is missing. Give a FastVLM checkpoint directory with "
            "--model DIR (config.json, *.safetensors, the tokenizer and the "
            "preprocessor, as downloaded)"
        )
        return BAD_USAGE
    started = time.perf_counter()
    picture = _standard_input() if options.image == "-" else options.image
    vlm = _speaker(pretrained.load(options.model or shipped))
    if options.show_attention:
        picture = vlm.read(picture)  # it is needed twice, and a pipe is read once
    choose = Confidence(vlm.stop_ids)
    ids, pieces, times = _say(vlm, picture, prompt, options, started, choose)
    confidence = float(choose.least[0])
    beside, timing = notices(vlm, prompt, ids, confidence), _timing(times)
    if options.json:
        answer = {
            "text": "".join(pieces).strip(),
            "prompt": prompt,
            "finished": is_finished(vlm, ids),
            "confidence": confidence,
            "notices": beside,
            **timing,
        }
        print(_as_json(answer))
    else:
        for notice in beside:
            complain(f"refvlm: {notice}")
    if options.verbose:
        _report(timing)
    if options.show_attention:
        _show_attention(vlm, picture, prompt, ids, options.show_attention)
    return GOOD


def _prompt(options):
    """What is asked: a question in one line, whatever spaces it was given with."""
    from ..text import DESCRIBE

    if hasattr(options, "question"):
        return " ".join(" ".join(options.question).split())
    return (options.prompt or DESCRIBE).strip()


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


def _say(vlm, picture, prompt, options, started, choose):
    """(ids, pieces of text, times) of the answer, printed as it comes."""
    progress = Progress() if options.verbose or is_terminal(sys.stderr) else None
    ids: list[int] = []
    pieces: list[str] = []
    times: list[float] = []
    asked = picture, prompt, options.max_new_tokens
    stream = vlm.describe_stream(*asked, progress=progress, choose=choose)
    try:
        for token, piece in stream:
            if token >= 0:
                ids.append(token)
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
    return ids, pieces, times


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
