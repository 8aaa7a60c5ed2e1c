"""`tokenize`: the tokens of a text, by one tokenizer or by four side by side.

    python -m refvlm tokenize "a red circle" --model FastVLM-0.5B
    python -m refvlm tokenize "an unseen word" --train book.txt --size 1000

With --json, one object: the text, and for each cut of it

    kind         the folder of the tokenizer, or the kind that was learnt
    vocabulary   how many tokens it has
    tokens       as the vocabulary spells them
    ids          their numbers, in the same order
    problem      why a kind could not be learnt, and the others are null; else null
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

from ..terminal import complain, end_line, is_terminal, printable, show_line
from .arguments import positive
from .saying import as_json
from .status import BAD_USAGE, EXITS, GOOD
from .texts import text_of

SIZE = 1000
Cut = dict[str, Any]


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
        help="a checkpoint whose tokenizer is to cut, of any kind, or the name of one "
        "that comes along, such as clip-tiny (default: fastvlm-tiny, which does)",
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
        "tokens, ids and problem",
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
    text, cuts = _learnt(options) if options.train else _opened(options)
    if options.json:
        print(as_json({"text": text, "cuts": cuts}))
    elif options.train:
        _side_by_side(cuts)
    else:
        for number, token in zip(cuts[0]["ids"], cuts[0]["tokens"], strict=True):
            print(f"{number:>6}  {printable(token)}")
    return GOOD


def _opened(options) -> tuple[str, list[Cut]]:
    """The text, and its cut by the tokenizer of a checkpoint."""
    from .. import pretrained, text

    named = options.model
    directory = pretrained.directory_of(named) if named else pretrained.shipped_model()
    opened = text.load_tokenizer(directory)
    asked = _text(options)
    ids = opened.encode(asked, options.markers)
    return asked, [_cut(str(directory), len(opened), map(opened.token, ids), ids)]


def _learnt(options) -> tuple[str, list[Cut]]:
    """The text, and its cuts by the kinds that are learnt from the lines of another."""
    lines = text_of(options.train).splitlines()
    asked = _text(options)
    size = options.size or SIZE
    cuts = list(_of_kinds(lines, size, asked, options.markers))
    if all(cut["problem"] for cut in cuts):
        said = "; ".join(f"{cut['kind']} {cut['problem']}" for cut in cuts)
        raise ValueError(f"--size {size} is too small for every kind: {said}")
    return asked, cuts


def _text(options) -> str:
    """What is to be cut, checked before anything is learnt."""
    from ..text.errors import valid_text

    return valid_text(text_of("-") if options.text == "-" else options.text)


def _of_kinds(lines, size, asked, markers) -> Iterator[Cut]:
    """The cut by each kind, or why there is none: another may do with fewer tokens."""
    from .. import text
    from ..text.errors import NoRoomError

    kinds: dict[str, Callable] = {
        "byte-level BPE": text.learn_byte_level,
        "WordPiece": text.learn_word_piece,
        "unigram": text.learn_unigram,
        "raw-stream BPE": text.learn_raw_bpe,
    }
    try:
        for kind, learn in kinds.items():
            if is_terminal(sys.stderr):
                show_line(f"learning {kind} from {len(lines):,} lines")
            try:
                learnt = learn(lines, size)
            except NoRoomError as small:
                problem = f"takes --size {small.least} or more, for {small.parts}"
                yield _cut(kind, problem=problem)
                continue
            except ValueError as error:
                yield _cut(kind, problem=f"cannot be learnt: {error}")
                continue
            ids = learnt.encode(asked, markers)
            yield _cut(kind, len(learnt), map(learnt.token_of.__getitem__, ids), ids)
    finally:
        end_line()


def _cut(kind, vocabulary=None, tokens=None, ids=None, problem=None) -> Cut:
    """One object of --json."""
    return {
        "kind": kind,
        "vocabulary": vocabulary,
        "tokens": tokens if tokens is None else list(tokens),
        "ids": ids,
        "problem": problem,
    }


def _side_by_side(cuts) -> None:
    """A line for each kind: how many tokens there are, and which, or why there are
    none."""
    width = max(len(cut["kind"]) for cut in cuts)
    print(f"{'':{width}}  of     tokens")
    for cut in cuts:
        if cut["problem"]:
            print(f"{cut['kind']:{width}}  {printable(cut['problem'])}")
            continue
        spelled = " ".join(map(printable, cut["tokens"]))
        print(
            f"{cut['kind']:{width}}  {cut['vocabulary']:<5}  "
            f"{len(cut['tokens']):>4}: {spelled}"
        )
