"""`tokenize`: the tokens of a text, by one tokenizer or by four side by side.

    python -m refvlm tokenize "a red circle" --model FastVLM-0.5B
    python -m refvlm tokenize "an unseen word" --train book.txt --size 1000

With --json, one object: the text, and for each cut of it

    kind         the folder of the tokenizer, or the kind that was learnt
    vocabulary   how many tokens it has
    tokens       as the vocabulary spells them
    ids          their numbers, in the same order
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

from ..terminal import complain, end_line, is_terminal, printable, show_line
from .arguments import positive
from .saying import as_json
from .status import BAD_USAGE, EXITS, GOOD
from .texts import text_of

SIZE = 1000


def add_tokenize(commands):
    """The parser of `tokenize TEXT`."""
    tokenize = commands.add_parser(
        "tokenize",
        help="show the tokens of a text",
        description="Show into which tokens a text is cut, each with its number. With "
        "--train, four kinds of tokenizer are learnt from a text and put side by side.",
        epilog=EXITS,
    )
    tokenize.add_argument("text", metavar="TEXT", help="- for standard input")
    tokenize.add_argument(
        "--model",
        metavar="DIR",
        help="a checkpoint whose tokenizer is to cut, of any kind (default: the "
        "weights that come along)",
    )
    tokenize.add_argument(
        "--train",
        metavar="FILE",
        help="learn byte-level BPE, WordPiece, unigram and BPE on a raw stream from "
        "the lines of a text in UTF-8 (default: none)",
    )
    tokenize.add_argument(
        "--size",
        type=positive,
        metavar="N",
        help=f"learn at most N tokens of each kind (default: {SIZE})",
    )
    tokenize.add_argument(
        "--markers",
        action="store_true",
        help="let the name of a marker, such as <|im_end|>, be that marker (default: "
        "it is a text like any other)",
    )
    tokenize.add_argument(
        "--json",
        action="store_true",
        help="print one JSON object: text, and cuts, each with kind, vocabulary, "
        "tokens and ids",
    )
    tokenize.set_defaults(run=_tokenize)


def _tokenize(options) -> int:
    if options.train and options.model:
        complain("refvlm: --train learns tokenizers of its own: leave out --model")
        return BAD_USAGE
    if options.size and not options.train:
        complain("refvlm: --size is of what --train learns: give a text to it, too")
        return BAD_USAGE
    if options.train == options.text == "-":
        complain("refvlm: standard input is one text: give the other as a file")
        return BAD_USAGE
    text = text_of("-") if options.text == "-" else options.text
    cuts = [
        {
            "kind": kind,
            "vocabulary": size,
            "tokens": [token(number) for number in ids],
            "ids": ids,
        }
        for kind, size, encode, token in _tokenizers(options)
        for ids in [encode(text, options.markers)]
    ]
    if options.json:
        print(as_json({"text": text, "cuts": cuts}))
    elif options.train:
        _side_by_side(cuts)
    else:
        for number, token in zip(cuts[0]["ids"], cuts[0]["tokens"], strict=True):
            print(f"{number:>6}  {printable(token)}")
    return GOOD


def _tokenizers(options) -> Iterator[tuple[str, int, Callable, Callable]]:
    """Each kind: how many tokens it has, what encodes a text, and what an id stands
    for."""
    from .. import pretrained, text

    if not options.train:
        directory = options.model or pretrained.shipped_model()
        opened = text.load_tokenizer(directory)
        yield str(directory), len(opened), opened.encode, opened.token
        return
    kinds: dict[str, Callable] = {
        "byte-level BPE": text.learn_byte_level,
        "WordPiece": text.learn_word_piece,
        "unigram": text.learn_unigram,
        "raw-stream BPE": text.learn_raw_bpe,
    }
    lines = text_of(options.train).splitlines()
    try:
        for kind, learn in kinds.items():
            if is_terminal(sys.stderr):
                show_line(f"learning {kind} from {len(lines):,} lines")
            learnt = learn(lines, options.size or SIZE)
            yield kind, len(learnt), learnt.encode, learnt.token_of.__getitem__
    finally:
        end_line()


def _side_by_side(cuts) -> None:
    """A line for each kind: how many tokens there are, and which."""
    width = max(len(cut["kind"]) for cut in cuts)
    print(f"{'':{width}}  of     tokens")
    for cut in cuts:
        spelled = " ".join(map(printable, cut["tokens"]))
        print(
            f"{cut['kind']:{width}}  {cut['vocabulary']:<5}  "
            f"{len(cut['tokens']):>4}: {spelled}"
        )
