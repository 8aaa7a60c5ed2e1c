"""Files that were tampered with: one clear error, or arrays of the shape they say.

A small good file is damaged in thousands of ways, from a flipped bit to a header that
was rewritten with care. Whatever is done to it, reading gives a CheckpointError or
finite arrays whose shapes are those of the header, and never takes more memory than a
small multiple of the file.
"""

import copy
import json
import random
import tracemalloc

import numpy as np
import safetensors

from refvlm.checkpoint import CheckpointError, load

from ..spec import contract, oracle
from .files import small_file

ODDITIES = [
    None,
    True,
    "",
    "F32",
    "BF16",
    "U8",
    "..",
    "/etc/passwd",
    "model.safetensors",
    "\ud800",
    [],
    {},
    [[]],
    [0],
    [2],
    [0, 8],
    [8, 0],
    [1 << 40],
    [1 << 32, 1 << 32],
    [0, 1 << 62],
    *(0, 1, 2, 8, 29, -1, 0.0, 1.5, 1e308, float("nan"), float("inf")),
    *(1 << 31, 1 << 63, (1 << 64) - 1, 1 << 100),
]


def nodes(document, path=()):
    """The path to every value in a JSON document, outermost first."""
    yield path
    pairs = ()
    if isinstance(document, dict):
        pairs = document.items()
    elif isinstance(document, list):
        pairs = enumerate(document)
    for key, value in pairs:
        yield from nodes(value, (*path, key))


def mutate_json(document, rng):
    """A copy with one value replaced, removed, swapped with another, or nudged."""
    document = copy.deepcopy(document)
    paths = [path for path in nodes(document) if path]
    if not paths:
        return rng.choice(ODDITIES)
    *above, key = rng.choice(paths)
    parent = document
    for step in above:
        parent = parent[step]
    action = rng.randrange(5)
    if action == 0:
        del parent[key]
    elif action == 1 and isinstance(parent[key], int):
        parent[key] += rng.choice([-8, -4, -1, 1, 4, 8, 1 << 32, 1 << 61])
    elif action == 2:
        other = rng.choice(
            list(parent) if isinstance(parent, dict) else range(len(parent))
        )
        parent[key], parent[other] = parent[other], parent[key]
    elif action == 3 and isinstance(parent, dict):
        parent[rng.choice(["x", "a", "", "\x1b", "dtype", "shape"])] = parent[key]
    else:
        parent[key] = copy.deepcopy(rng.choice(ODDITIES))
    return document


def mutate_bytes(content, rng):
    """A copy with bits flipped, a part cut out, doubled or overwritten, or cut."""
    content = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 8])):
        if not content:
            break
        start = rng.randrange(len(content))
        stop = min(len(content), start + rng.choice([1, 2, 8, 32]))
        action = rng.randrange(7)
        if action < 2:
            content[start] ^= 1 << rng.randrange(8)
        elif action == 2:
            del content[start:stop]
        elif action == 3:
            content[start:start] = content[start:stop]
        elif action == 4:
            content[start:stop] = rng.randbytes(stop - start)
        elif action == 5:
            content[start:stop] = bytes([rng.choice(b'"{}[]:,0919 \x00\xff\\')])
        else:
            del content[start:]
    return bytes(content)


def mutate_file(content, rng):
    """A damaged copy of a safetensors file, often with a header that still parses."""
    length = int.from_bytes(content[:8], "little")
    header, data = content[8 : 8 + length], content[8 + length :]
    action = rng.randrange(6)
    if action == 0:
        return mutate_bytes(content, rng)
    if action == 1:
        claimed = rng.choice([0, 1, length - 1, length + 1, length + 8, 1 << 63, -1])
        return (claimed % (1 << 64)).to_bytes(8, "little") + header + data
    if action == 2:
        header = mutate_bytes(header, rng)
    elif action == 3:
        data = mutate_bytes(data, rng)
    else:
        document = json.loads(header)
        for _ in range(rng.choice([1, 1, 2, 3])):
            document = mutate_json(document, rng) if document else document
        header = json.dumps(document).encode()
    return len(header).to_bytes(8, "little") + header + data


def holds(path):
    """True for a file that can be read, False for one that is refused."""
    try:
        weights = load(path)
        shapes = weights.shapes()
    except CheckpointError:
        return False
    for name, shape in shapes.items():
        try:
            array = weights[name]
        except CheckpointError as problem:
            assert "holds" in str(problem), "only a number can be found wrong this late"
            continue
        assert array.shape == shape
        assert array.dtype.kind in "iub" or array.dtype == np.float32
        assert np.isfinite(array).all()
    return True


def fuzz_files(directory, rounds, seed=0):
    """How many mutants of a good file were accepted."""
    rng = random.Random(seed)
    path = directory / "model.safetensors"
    good = small_file(path).read_bytes()
    accepted = 0
    for _ in range(rounds):
        content = mutate_file(good, rng)
        path.write_bytes(content)
        accepted += holds(path)
    return accepted


def fuzz_index(directory, rounds, seed=0):
    """How many mutants of a good index were accepted."""
    rng = random.Random(seed)
    names = small_file(directory / "m1.safetensors") and load(
        directory / "m1.safetensors"
    )
    document = {
        "metadata": {"n": 1},
        "weight_map": dict.fromkeys(names, "m1.safetensors"),
    }
    path = directory / "model.safetensors.index.json"
    accepted = 0
    for _ in range(rounds):
        mutant = mutate_json(document, rng)
        content = json.dumps(mutant).encode()
        path.write_bytes(mutate_bytes(content, rng) if rng.random() < 0.5 else content)
        accepted += holds(directory)
    return accepted


@oracle
def test_hostile_files_are_refused_by_the_safetensors_library_too(tmp_path):
    """What is accepted here, the format's own library accepts, with the same shapes."""
    rng = random.Random(7)
    path = tmp_path / "model.safetensors"
    good = small_file(path).read_bytes()
    compared = 0
    for _ in range(500):
        path.write_bytes(mutate_file(good, rng))
        try:
            shapes = load(path).shapes()
        except CheckpointError:
            continue
        with safetensors.safe_open(path, "numpy") as file:
            assert set(file.keys()) == shapes.keys()
            for name, shape in shapes.items():
                assert file.get_slice(name).get_shape() == list(shape)
        compared += 1
    assert compared > 12


@contract
def test_hostile_files_give_one_error_or_right_shapes(tmp_path):
    """A thousand damaged files: never another exception, never a wrong shape."""
    holds(small_file(tmp_path / "model.safetensors"))  # import what is imported late
    tracemalloc.start()
    try:
        accepted = fuzz_files(tmp_path, 1000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert 25 < accepted < 500, "the mutants are all alike, so this proves nothing"
    assert peak < 8 << 20


@contract
def test_hostile_index_gives_one_error_or_right_shapes(tmp_path):
    """Five hundred damaged indices: never another exception, never a wrong shape."""
    accepted = fuzz_index(tmp_path, 500)
    assert 5 < accepted < 400, "the mutants are all alike, so this proves nothing"
