"""A checkpoint directory in fewer bits, written whole or not at all.

    report = pretrained.quantize("FastVLM-0.5B", "FastVLM-0.5B-nf4", "nf4")
    report.bytes_before, report.bytes_after, report.bits
    report.worst(3)                  # the matrices that lost most

What is no matrix of a linear layer stays as it is stored, bfloat16 too, in files that
are named and divided as they were; but a mask of infinities that no model looks at is
left out, since no file may hold it. Tokenizer and settings are copied. All of it lies
in a hidden folder beside its place until it is complete.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from .. import checkpoint
from ..arguments import is_number
from ..checkpoint import CheckpointError, Raw, Weights
from ..checkpoint.directories import INDEX
from ..checkpoint.documents import open_ordinary
from ..checkpoint.saving import is_finite
from ..checkpoint.stored import StoredTensor
from ..quantize import SCHEMES, Packed, formats
from ..quantize.schemes import GROUPS, group_of, pack_groups
from .linear_matrices import HEADS, Linear, Pack, linear_matrices, mixed_widths
from .opening import CONFIG, load, opened

MIXED = "mixed"
NAMES = (*SCHEMES, MIXED)
MOST_BITS = 32

# What belongs to a model beside its weights and config.json.
COMPANIONS = (
    *("generation_config.json", "preprocessor_config.json", "processor_config.json"),
    *("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.txt"),
    *("special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt"),
    *("chat_template.json", "chat_template.jinja", "LICENSE", "LICENSE.txt", "NOTICE"),
)


class Layer(NamedTuple):
    """A matrix that was quantised: its size, its bytes in the file, code books and all,
    and its signal over its error in decibels."""

    name: str
    numbers: int
    nbytes: int
    sqnr: float


class Report(NamedTuple):
    """What was quantised, what no group divides and stays, and what the files of
    weights took before and after."""

    layers: list[Layer]
    kept: list[str]
    bytes_before: int
    bytes_after: int

    @property
    def bits(self) -> float:
        """Of a quantised weight: all that the file holds of the matrices."""
        numbers = sum(layer.numbers for layer in self.layers)
        return 8 * sum(layer.nbytes for layer in self.layers) / numbers

    def worst(self, count: int) -> list[Layer]:
        """The matrices whose error is the largest beside their signal."""
        return sorted(self.layers, key=lambda layer: layer.sqnr)[:count]


def quantize(
    directory: str | Path,
    out: str | Path,
    scheme: str,
    budget: float | None = None,
    progress: Callable[[str], None] | None = None,
) -> Report:
    """Write the checkpoint of `directory` in fewer bits to `out`, a new folder.

    `scheme` is a name in `SCHEMES`, or "mixed": a width for each matrix, such that all
    together take at most `budget` bits a weight, scales included (as many as "int4"
    takes, unless it is given). `progress(line)` is called as the work goes.
    """
    _check_scheme(scheme, budget)
    for name, path in (("directory", directory), ("out", out)):
        if not isinstance(path, (str, os.PathLike)):
            raise ValueError(f"quantize: {name} is a path, not {path!r:.40}")
    out, (source, document) = Path(out), opened(directory)
    method, _ = formats.layout(document, str(source / CONFIG))
    if method is not None:
        raise CheckpointError(
            f"{source} is quantised already, by {method}: give the float checkpoint of "
            "the same model"
        )
    _check_absent(out)
    used = _used(load(source).weights)  # what is no model is refused before all else
    weights = checkpoint.load(source, dtype=None)
    found = linear_matrices(weights, document)
    chosen = [m for m in found if not _is_grid(scheme) or group_of(m.columns)]
    if not found:
        raise CheckpointError(f"{source} holds no matrix that could be quantised")
    if not chosen:
        raise CheckpointError(
            f"{source}: the rows of all {len(found)} matrices are divided by no group "
            f"of {' or '.join(map(str, GROUPS))}, as {scheme} needs: take nf4 or "
            "ternary"
        )
    work = _Work(len(chosen) * (2 if scheme == MIXED else 1), progress)
    packers = _packers(chosen, scheme, budget, work)
    with _new_folder(out) as folder:
        layers, outlines, after = _write_weights(
            folder, weights, used, chosen, packers, work
        )
        kept = [m.name.removesuffix(".weight") for m in found if m.name not in outlines]
        said = formats.configuration(outlines, [*kept, *HEADS])
        described = json.dumps({**document, **said}, indent=2) + "\n"
        checkpoint.write_text(folder / CONFIG, described)
        _copy_companions(source, folder)
    before = sum(os.path.getsize(path) for path in _files(weights))
    return Report(layers, kept, before, after)


def _check_scheme(scheme, budget):
    if scheme not in NAMES:
        raise ValueError(
            f"quantize: scheme is one of {', '.join(NAMES)}, not {scheme!r:.40}"
        )
    if budget is not None and scheme != MIXED:
        raise ValueError(f"quantize: a budget is for {MIXED!r}, not for {scheme!r}")
    if budget is not None and not (is_number(budget) and 0 < budget <= MOST_BITS):
        raise ValueError(
            f"quantize: budget is a number of bits up to {MOST_BITS}, which a weight "
            f"takes, not {budget!r:.40}"
        )


def _is_grid(scheme):
    """Whether it wants groups that divide a row."""
    return scheme.startswith("int") or scheme == MIXED


def _packers(chosen, scheme, budget, work) -> dict[str, Pack]:
    """name -> how that matrix is packed."""
    if scheme != MIXED:
        return {matrix.name: SCHEMES[scheme].pack for matrix in chosen}
    widths = mixed_widths(chosen, budget, partial(work, "trying"))
    return {name: partial(pack_groups, bits=bits) for name, bits in widths.items()}


class _Work:
    """Counts what is done, and says it."""

    def __init__(self, pieces: int, progress: Callable[[str], None] | None):
        self.pieces, self.done, self.progress = pieces, 0, progress

    def __call__(self, what: str, name: str) -> None:
        if self.progress is not None:
            self.progress(f"{self.done} of {self.pieces}  {what}  {name}")
        self.done += 1


def _write_weights(folder, weights, used, chosen, packers, work):
    """(layers, outlines of matrices, bytes): a file for each file of the source, and an
    index if that has one."""
    linear = {matrix.name: matrix for matrix in chosen}
    layers, outlines, size = [], {}, 0
    place: dict[str, str] = {}
    for path, names in _files(weights).items():
        files: dict = {}
        for name in names:
            if name in linear:
                work("packing", name)
                layer, matrix, parts = _packed(linear[name], packers[name])
                files |= parts
                layers.append(layer)
                outlines[name] = formats.outline(matrix)
            else:
                files |= _as_it_is(weights.tensor(name), used)
        checkpoint.save(folder / path.name, files)
        place |= dict.fromkeys(files, path.name)
        size += os.path.getsize(folder / path.name)
    if weights.origin.endswith(INDEX):
        index = {"metadata": {"total_size": size}, "weight_map": place}
        checkpoint.write_text(folder / INDEX, json.dumps(index, indent=2) + "\n")
    return layers, outlines, size


def _as_it_is(tensor: StoredTensor, used: set[str]) -> dict[str, Raw]:
    """name -> what the file has, of a tensor that is not packed."""
    raw = Raw(tensor.kind, tensor.stored())
    if not is_finite(*raw):
        if tensor.name not in used:
            return {}
        tensor.natural().array()  # says which number it is, and where
    return {tensor.name: raw}


def _used(weights: Weights) -> set[str]:
    """What the file calls the tensors that a model looks at."""
    tensors = [weights.tensor(name) for name in weights]
    return {each.name for each in tensors if isinstance(each, StoredTensor)}


def _packed(linear: Linear, pack: Pack) -> tuple[Layer, Packed, dict]:
    """A matrix in few bits, what that has cost it, and what the file holds of it."""
    numbers = linear.numbers()
    matrix, sqnr = linear.packed(numbers, pack)
    parts = formats.tensors(linear.name, matrix)
    arrays = [p.numbers if isinstance(p, Raw) else p for p in parts.values()]
    size = sum(array.nbytes for array in arrays)
    return Layer(linear.name, numbers.size, size, sqnr), matrix, parts


def _files(weights: Weights) -> dict[Path, list[str]]:
    """The files that tensors lie in, and which."""
    names: dict[Path, list[str]] = {}
    for name in weights:
        tensor = weights.tensor(name)
        assert isinstance(tensor, StoredTensor)
        names.setdefault(tensor.path, []).append(name)
    return names


def _copy_companions(source: Path, folder: Path) -> None:
    """The files of tokenizer, preprocessor and settings, as they are."""
    for name in COMPANIONS:
        if checkpoint.is_there(source / name):
            with open_ordinary(source / name) as old, open(folder / name, "xb") as new:
                shutil.copyfileobj(old, new)


def _check_absent(out: Path) -> None:
    """Nothing of this name is there, and something could be."""
    try:
        out.lstat()
    except FileNotFoundError:
        return
    except OSError as problem:  # a name that is too long
        raise _unwritten(out, problem) from None
    raise CheckpointError(
        f"{out} is there already: give another name, or take it away first"
    )


@contextlib.contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    """A hidden folder to write into, which gets its name once all went well."""
    if not out.parent.is_dir():
        raise CheckpointError(
            f"{out}: there is no folder {out.parent} to write it into"
        )
    hidden = out.with_name(f".refvlm-{secrets.token_hex(4)}.partial")
    try:
        hidden.mkdir()
        yield hidden
        if os.path.lexists(out):
            raise FileExistsError(f"{out} was made by another program meanwhile")
        os.rename(hidden, out)
    except BaseException as problem:  # an interruption too must not leave a piece
        shutil.rmtree(hidden, ignore_errors=True)
        if isinstance(problem, OSError):
            raise _unwritten(out, problem) from None
        if isinstance(problem, CheckpointError) and str(hidden) in str(problem):
            raise _unwritten(out, problem.__context__ or problem) from None
        raise


def _unwritten(out: Path, problem: BaseException) -> CheckpointError:
    """What to say of a folder that could not be written, and of no hidden name."""
    why = getattr(problem, "strerror", None) or problem
    return CheckpointError(f"{out} cannot be written: {why}")
