"""`complete` and `perplexity`: a language model goes on from a text, or is tried on
one.

    python -m refvlm complete "Once upon a time" --model gpt2
    python -m refvlm perplexity book.txt --model gpt2

With --json, `complete` prints one object: text, prompt, finished, seed, tokens,
seconds_to_first_token and tokens_per_second; `perplexity` one of perplexity, tokens,
nats_per_token and bits_per_byte, of which the last compares models with different
tokenizers.
"""

from __future__ import annotations

import math
import sys
import time

from ..terminal import complain, end_line, is_terminal, show_line
from .arguments import positive
from .choosing import add_rules, contradiction, rules
from .saying import as_json, kind_of, report, say, timing
from .status import BAD_USAGE, EXITS, GOOD
from .texts import text_of

MODEL = (
    "a GPT-2, LLaMA or Qwen2 checkpoint as downloaded: config.json, *.safetensors and "
    "the tokenizer"
)


def add_complete(commands):
    """The parser of `complete TEXT`."""
    complete = commands.add_parser(
        "complete",
        help="go on from a text",
        description="Print what a language model writes behind a text.",
        epilog=EXITS,
    )
    complete.add_argument(
        "text", metavar="TEXT", help="the beginning, or - for standard input"
    )
    complete.add_argument("--model", metavar="DIR", required=True, help=MODEL)
    complete.add_argument(
        "--max-new-tokens",
        type=positive,
        default=64,
        metavar="N",
        help="stop after N tokens (default: %(default)s)",
    )
    complete.add_argument(
        "--verbose", action="store_true", help="report times on standard error"
    )
    complete.add_argument(
        "--json",
        action="store_true",
        help="print one JSON object: text (what follows), prompt, finished, seed, "
        "tokens, seconds_to_first_token and tokens_per_second",
    )
    add_rules(complete)
    complete.set_defaults(run=_complete)


def _complete(options) -> int:
    import numpy as np

    started = time.perf_counter()
    prompt = text_of("-") if options.text == "-" else options.text
    lm = _language_model(options.model)
    if why := contradiction(options, lm.settings):
        complain(f"refvlm: {why}")
        return BAD_USAGE
    chosen, seed = rules(options, lm.settings)
    rng = np.random.default_rng(seed)
    stream = lm.complete_stream(prompt, options.max_new_tokens, rng=rng, **chosen)
    ids, pieces, times = say(stream, started, not options.json, stripped=False)
    timed = timing(times, lm.settings.given(**chosen).num_beams > 1)
    if options.json:
        answer = {
            "text": "".join(pieces),
            "prompt": prompt,
            "finished": bool(ids) and ids[-1] in lm.stop_ids,
            "seed": seed,
            **timed,
        }
        print(as_json(answer))
    if options.verbose:
        report(timed, seed)
    return GOOD


def add_perplexity(commands):
    """The parser of `perplexity FILE`."""
    perplexity = commands.add_parser(
        "perplexity",
        help="how much a text surprises a language model",
        description="Among how many equally likely tokens a language model might be "
        "guessing at each place of a text. A text longer than the context, or than "
        "1,024 tokens, is read in windows that overlap by half.",
        epilog=EXITS,
    )
    perplexity.add_argument(
        "file", metavar="FILE", help="a text in UTF-8, or - for standard input"
    )
    perplexity.add_argument("--model", metavar="DIR", required=True, help=MODEL)
    perplexity.add_argument(
        "--json",
        action="store_true",
        help="print one JSON object: perplexity, tokens, nats_per_token and "
        "bits_per_byte",
    )
    perplexity.set_defaults(run=_perplexity)


def _perplexity(options) -> int:
    import numpy as np

    from ..metrics.surprise import perplexity

    some = text_of(options.file)
    lm = _language_model(options.model)
    progress = _show if is_terminal(sys.stderr) else None
    try:
        nats = lm.surprise(some, progress)
    finally:
        if progress is not None:
            end_line()
    mean, found = float(nats.mean(dtype=np.float64)), perplexity(nats)
    told = {
        "perplexity": found if math.isfinite(found) else None,  # JSON has no infinity
        "tokens": len(nats),
        "nats_per_token": mean,
        "bits_per_byte": mean * len(nats) / math.log(2) / len(some.encode()),
    }
    if options.json:
        print(as_json(told))
    else:
        print(
            f"perplexity {found:.2f}: {mean:.3f} nats a token, "
            f"{len(nats):,} tokens, {told['bits_per_byte']:.3f} bits a byte"
        )
    return GOOD


def _show(done, tokens):
    show_line(f"{done:,} of {tokens:,} tokens")


def _language_model(directory):
    from .. import pretrained

    model = pretrained.load(directory)
    if not hasattr(model, "complete_stream"):
        raise ValueError(
            f"{model.directory} holds a {kind_of(model)}, which does not go on from "
            "texts: give a GPT-2, LLaMA or Qwen2 checkpoint"
        )
    return model
