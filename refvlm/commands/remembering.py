"""`remember` and `forget`: a memory of pictures in a file, which `ask --memory` asks.

    python -m refvlm remember monday.png tuesday.png --memory week.memory
    python -m refvlm ask --memory week.memory "in which picture was the red ring?"
    python -m refvlm forget 1 --memory week.memory

The file is begun by the first call and goes on with each: it is replaced whole, or not
at all. Of several calls at once each waits until the one before has ended. With --json,
both print one object:

    memory      the file
    new         the numbers of the pictures that were remembered just now
    pictures    of all that are remembered: number, name, and left, the part of each
                that is read back and is its own
    facts       how many codes were written, of which the memory has `slots` to hold
    slots
    notices     what else is worth knowing, as sentences
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path

from ..terminal import complain, printable
from .arguments import positive
from .outputs import unkept, unread
from .pictures import picture_of
from .recalling import NOTHING, rememberer
from .saying import as_json
from .status import BAD_USAGE, EXITS, GOOD


def add_remember(commands):
    """The parser of `remember PICTURE... --memory FILE`."""
    remember = commands.add_parser(
        "remember",
        help="write pictures into a memory",
        description="Write pictures into a memory, in their order, and print the "
        "number of each. Without pictures, print what is remembered.",
        epilog=EXITS,
    )
    remember.add_argument(
        "pictures",
        metavar="PICTURE",
        nargs="*",
        help="pictures, of which one may be - for standard input",
    )
    _add_options(remember, "begun where there is no such file, else gone on with")
    remember.set_defaults(run=_remember, wrong=remember.error)


def add_forget(commands):
    """The parser of `forget NUMBER... --memory FILE`."""
    forget = commands.add_parser(
        "forget",
        help="take pictures out of a memory",
        description="Take back what was written of pictures. The others keep their "
        "numbers.",
        epilog=EXITS,
    )
    forget.add_argument(
        "numbers",
        metavar="NUMBER",
        nargs="+",
        type=positive,
        help="of the pictures, as `remember --memory FILE` prints them",
    )
    _add_options(forget, "the file that `refvlm remember` wrote")
    forget.set_defaults(run=_forget, wrong=forget.error)


def _add_options(command, which):
    command.add_argument(
        "--memory",
        type=Path,
        required=True,
        metavar="FILE",
        help=f"the memory: {which}",
    )
    command.add_argument(
        "--model",
        metavar="DIR",
        help="a checkpoint that remembers, a MicroVLM-V; a memory is that of one model "
        "(default: the weights that come along)",
    )
    command.add_argument(
        "--json",
        action="store_true",
        help="print one JSON object: memory, new, pictures, facts, slots and notices",
    )


def _remember(options) -> int:
    if options.pictures.count("-") > 1:
        complain("refvlm: standard input is one picture: give - once")
        return BAD_USAGE
    if any(_is_same(picture, options.memory) for picture in options.pictures):
        complain(f"refvlm: --memory {options.memory} is one of the pictures")
        return BAD_USAGE

    _check_file(options)
    if not options.pictures:
        model = _opened(options)
        _tell(options, model.memory, [], _notices(model.memory, []), everything=True)
        return GOOD

    def act(model):
        pictures = [*map(picture_of, options.pictures)]
        names = [*map(_name, options.pictures)]
        return model.remember(*pictures, names=names)

    return _change(options, act)


def _forget(options) -> int:
    _check_file(options)
    if not os.path.lexists(options.memory):
        raise ValueError(f"there is no memory {options.memory}: nothing to forget")

    def act(model):
        for number in options.numbers:
            model.forget(number)
        return []

    return _change(options, act)


def _name(picture):
    return "standard input" if picture == "-" else Path(picture).name


def _is_same(picture, memory):
    try:
        return os.path.samefile(picture, memory)
    except OSError:  # one of them is not there
        return False


def _check_file(options):
    """Refuse, before any work, a file that cannot be what is wanted of it."""
    writing = options.run is _forget or options.pictures
    if why := unkept(options.memory) if writing else unread(options.memory):
        options.wrong(f"argument --memory: {why}")


def _opened(options):
    """The model, with what is in the file, which need not be there yet."""
    model = rememberer(options.model)
    if os.path.exists(options.memory):
        model.memory.load(options.memory)
    return model


def _change(options, act) -> int:
    """Open a memory, do something to it, save it, and tell what is remembered."""
    from ..checkpoint import locked
    from ..pretrained.memory import FadingWarning

    with locked(options.memory):
        model = _opened(options)
        before = model.memory.faded()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FadingWarning)  # it is a notice here
            new = act(model)
        model.memory.save(options.memory)
    notices = _notices(model.memory, before)
    _tell(options, model.memory, new, notices, everything=False)
    return GOOD


def _notices(memory, before):
    """What has faded since, and whether anything is remembered at all."""
    from ..pretrained.memory import fading

    notices = []
    if lost := [number for number in memory.faded() if number not in before]:
        room = "`refvlm forget NUMBER --memory FILE` makes room"
        notices.append(fading(memory, lost, room))
    if not len(memory):
        notices.append(NOTHING)
    return notices


def _tell(options, memory, new, notices, everything):
    left = memory.left()
    pictures = [
        {"number": number, "name": kept.name, "left": left[number]}
        for number, kept in memory.receipts.items()
    ]
    if options.json:
        told = {
            "memory": str(options.memory),
            "new": new,
            "pictures": pictures,
            "facts": memory.facts,
            "slots": memory.config.memory.slots,
            "notices": notices,
        }
        print(as_json(told))
        return
    for one in pictures:
        if everything or one["number"] in new:
            print(f"{one['number']}  {printable(one['name'])}")
    for notice in notices:
        complain(f"refvlm: {notice}")
