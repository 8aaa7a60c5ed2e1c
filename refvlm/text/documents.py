"""Reading a `tokenizer.json` that came from outside: each part, or a word on it.

What is missing or contradicts itself is called damaged; what our own engine does not do
is named, and the library recommended that does it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ..arguments import is_whole
from ..checkpoint.errors import is_text
from .description import FLAGS
from .errors import TokenizerError

LARGEST_ID = 1 << 24
KINDS = {list: "a list", dict: "an object", str: "a text", bool: "true or false"}


def is_id(number: object) -> bool:
    """Whether a file from outside may give this as the id of a token."""
    return is_whole(number) and 0 <= number < LARGEST_ID


def part(holder: Any, name: str, kind: type, origin: str) -> Any:
    """What stands under a name in a file from outside, if it is of that kind."""
    value = holder.get(name) if isinstance(holder, dict) else None
    if not isinstance(value, kind):
        raise TokenizerError(
            f"{origin}: its {name[:80]!r} is {value!r:.80}, where the format has "
            f"{KINDS[kind]}: download the file again"
        )
    return value


def beyond(origin: str, step: str, value: object) -> TokenizerError:
    """What is asked for and not done here."""
    return TokenizerError(
        f"{origin}: its {step} is {value!r:.80}, which takes the tokenizers library: "
        "pip install tokenizers"
    )


def check_step(document: Mapping[str, Any], name: str, ours: Any, origin: str) -> None:
    """Refuse a step that is not ours, apart from an option that changes no token."""
    if essence(document.get(name)) != essence(ours):
        raise beyond(origin, name, document.get(name))


def essence(step: Any) -> Any:
    """A step without the option that changes no token."""
    if isinstance(step, list):
        return [essence(part) for part in step]
    if isinstance(step, dict):
        return {k: essence(v) for k, v in step.items() if k != "trim_offsets"}
    return step


def check_switches(model: Mapping[str, Any], known: set[str], origin: str) -> None:
    """Refuse a model whose other switches are on."""
    for switch in model.keys() - known - {"type", "vocab"}:
        if model[switch]:
            raise beyond(origin, "model", {switch: model[switch]})


def read_markers(
    document: Mapping[str, Any],
    origin: str,
    known: Collection[str] = ("special", "normalized"),
) -> dict[str, int]:
    """The markers of a file, each with its id; `known` are the flags they may have."""
    added = part(document, "added_tokens", list, origin)
    for fields in added:
        content = part(fields, "content", str, origin)
        if not is_id(fields.get("id")) or not content:
            raise TokenizerError(
                f"{origin}: its added token {fields!r:.80} has no whole number as its "
                "id, or no text: download the file again"
            )
        for flag in FLAGS:
            if part(fields, flag, bool, origin) and flag not in known:
                raise beyond(origin, "added token", {fields["content"]: flag})
    return {fields["content"]: fields["id"] for fields in added}


def with_markers(
    vocab: Mapping[str, int], markers: Mapping[str, int], origin: str
) -> dict[str, int]:
    """One vocabulary of both, in which each token has an id of its own."""
    whole = {**vocab, **markers}
    numbers = list(whole.values())
    if not all(map(is_id, numbers)) or not is_text("".join(whole)):
        raise TokenizerError(
            f"{origin}: its vocab does not give each text a whole number: download the "
            "file again"
        )
    more = sorted(markers[name] for name in markers if name not in vocab)
    if (
        any(vocab.get(name, number) != number for name, number in markers.items())
        or len(set(numbers)) < len(numbers)
        or more != list(range(len(vocab), len(whole)))
    ):
        raise TokenizerError(
            f"{origin}: its vocab and added_tokens do not number the tokens one by "
            "one: they are of different checkpoints"
        )
    return whole


def read_added(
    known: Mapping[str, int], markers: Mapping[str, int], origin: str
) -> dict[str, int]:
    """The markers that are not in the vocabulary; together they are numbered."""
    whole = with_markers(known, markers, origin)
    return {name: number for name, number in whole.items() if name not in known}


def read_merges(
    model: Mapping[str, Any], vocabulary: Mapping[str, int], origin: str
) -> list[tuple[str, str]]:
    """The merges, which older files write as "a b" and newer ones as ["a", "b"]."""
    pairs = []
    for merge in part(model, "merges", list, origin):
        pair = tuple(merge.split(" ")) if isinstance(merge, str) else merge
        spelled = isinstance(pair, (list, tuple)) and len(pair) == 2
        if not spelled or not all(isinstance(token, str) for token in pair):
            raise TokenizerError(
                f"{origin}: its merge {merge!r:.80} is not two tokens: download the "
                "file again"
            )
        left, right = pair
        if not {left, right, left + right} <= vocabulary.keys():
            raise TokenizerError(
                f"{origin}: its merge {merge!r:.80} is not of the vocabulary: the "
                "files are of different checkpoints"
            )
        pairs.append((left, right))
    return pairs
