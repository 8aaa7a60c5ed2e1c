"""`describe` and `ask`: what a picture shows, in words on standard output."""

from __future__ import annotations

import json
import sys
import time

from ..terminal import Progress, complain, escaped, for_terminal, is_terminal
from .arguments import new_file, positive, words
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
        "--prompt",
        type=words,
        metavar="TEXT",
        help="the request (default: to describe the image)",
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
        "prompt",
        type=words,
        metavar="QUESTION",
        help='for example "how many circles are there?"',
    )
    _add_options(ask)


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
        help="stop after so many tokens (default: %(default)s)",
    )
    command.add_argument(
        "--show-attention",
        type=new_file,
        metavar="PNG",
        help="write a picture of where the decoder looked for each word",
    )
    command.add_argument(
        "--verbose",
        action="store_true",
        help="report progress and times on standard error",
    )
    command.add_argument(
        "--json",
        action="store_true",
        help="print one JSON object: text, prompt, tokens and times",
    )
    command.set_defaults(run=_answer)


def _answer(options) -> int:
    from .. import pretrained
    from ..text import DESCRIBE

    shipped, prompt = pretrained.shipped_model(), options.prompt or DESCRIBE
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
    ids, pieces, times = _say(vlm, picture, prompt, options, started)
    timing = _timing(times)
    if options.json:
        answer = {"text": "".join(pieces).strip(), "prompt": prompt, **timing}
        print(_as_json(answer))
    if options.verbose:
        _report(timing)
    if options.show_attention:
        from ..analysis.attention_pictures import attention_picture

        sheet = attention_picture(vlm, picture, prompt, ids)
        sheet.save(options.show_attention, "PNG")
    return GOOD


def _speaker(model):
    """The model, if it is one that answers."""
    if not hasattr(model, "describe_stream"):
        raise ValueError(
            f"{model.directory} holds a {type(model).__name__}, which has no words of "
            "its own: give a model that describes"
        )
    return model


def _say(vlm, picture, prompt, options, started):
    """(ids, pieces of text, times) of the answer, printed as it comes."""
    progress = Progress() if options.verbose or is_terminal(sys.stderr) else None
    ids: list[int] = []
    pieces: list[str] = []
    times: list[float] = []
    stream = vlm.describe_stream(picture, prompt, options.max_new_tokens, progress)
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
