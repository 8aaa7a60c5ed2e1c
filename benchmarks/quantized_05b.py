"""Qwen2-0.5B's shape in fewer bits, whole: bytes, memory, and time under each scheme.

    python -m benchmarks.quantized_05b FOLDER [--rounds 3] [--only nf4] [--record]

FOLDER receives the decoder with random weights in bfloat16 (988 MB), once, and at each
run what `python -m refvlm quantize` makes of it (3.5 GB). Of each are counted the bytes
of the file, and bits a weight, of the matrices that are packed and of all. Measured are
a prompt of 64 tokens, each token after it, and the peak memory of a process that loads
it and says some.

A ratio is to float32, which the file of bfloat16 is computed in: above 1, fewer bits
are slower. But of a quantised directory the table of embeddings, the head too, stays in
sixteen bits in memory, which saves 272 MB and takes time by itself. So everything
stands beside "half table", too: float32 whose table stays so, by the same code. What a
scheme does to the linear layers is the ratio to that. 3 rounds take about 15 minutes.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from safetensors import safe_open

from refvlm.checkpoint.header import FLOATING, STORAGE
from refvlm.pretrained.quantizing import NAMES as SCHEMES

from . import model_costs, records, rows
from .quantized_05b_worker import CONFIG, write
from .turns import Peer, RefusedError, take_turns, versions

FULL, HALF = "float32", "half table"
PROMPT, STEPS = 64, 4
PARTS = ("prompt", "token")
BITS = {kind: 8 * storage.itemsize for kind, storage in STORAGE.items()}
WORKER = "quantized_05b_worker"


def measure(options):
    """The record's rows, what the files hold, and what memory was needed."""
    folder = options.folder.resolve()
    write(folder / "qwen2")
    chosen = [s for s in SCHEMES if any(options.only in r for r in row_names(s))]
    places = {FULL: folder / "qwen2"} | quantized(folder, chosen)
    files = {scheme: contents(places[FULL], place) for scheme, place in places.items()}
    for scheme, file in files.items():
        print(told(scheme, file), flush=True)
    places = {FULL: places[FULL], HALF: places[FULL]} | places
    files[HALF] = files[FULL]  # the same, read in another way
    peers = {who: peer(who, place, options) for who, place in places.items()}
    measured = versions(peers.values())
    ids = np.random.default_rng(1).integers(0, CONFIG.vocab_size - 1, PROMPT).tolist()
    question = {"task": "text", "ids": ids, "steps": STEPS}
    turns = {who: (each, question) for who, each in peers.items()}
    answers, disturbance = take_turns(options.rounds, turns)
    for each in peers.values():
        each.close()
    table = {}
    for who, part in ((who, part) for who in places for part in PARTS):
        name = f"{part}, {who}"
        times = times_of(part, who, answers)
        table[name] = rows.row(times, cost(part, files[who]), disturbance)
        print(rows.in_words(name, table[name]), flush=True)
    return {
        "versions": measured,
        "rows": table,
        "files": files,
        "memory": memory(options, places, question),
    }


def peer(who, place, options):
    """A process that has loaded the directory in its place."""
    return Peer(WORKER, place, *([HALF] if who == HALF else []), options=options)


def times_of(part, who, answers):
    """Seconds of the rounds, and of those that it is compared with: float32, and with
    its table in half, but each not with itself."""
    others = {FULL: [], HALF: [FULL]}.get(who, [FULL, HALF])
    named = {"refvlm": who} | {other: other for other in others}
    return {name: [one[part] for one in answers[of]] for name, of in named.items()}


def quantized(folder, schemes):
    """{scheme: directory}, written anew: they are of the code that is measured."""
    out = folder / "qwen2-quantized"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    for scheme in schemes:
        words = ["-m", "refvlm", "quantize", str(folder / "qwen2")]
        words += ["--scheme", scheme, "--out", str(out / scheme)]
        done = subprocess.run([sys.executable, *words], capture_output=True, text=True)
        if done.returncode:
            raise RefusedError(f"quantize --scheme {scheme}: {done.stderr.strip()}")
    return {scheme: out / scheme for scheme in schemes}


def contents(plain, directory):
    """Bytes of the files, and bits for each weight: of what is packed, and of all.

    A matrix is packed where its tensor is no longer one of floating numbers. What is
    stored under its module's name, but the module's bias, counts: codes and scales,
    code books, and what a tensor says in JSON, as in `pretrained.quantize`'s report.
    """
    before, after = tensors(plain), tensors(directory)
    packed = {
        name.removesuffix("weight")
        for name, (kind, _) in after.items()
        if name.endswith(".weight") and kind not in FLOATING
    }
    of_packed = sum(
        bits
        for name, (_, bits) in after.items()
        if any(name.startswith(module) for module in packed)
        and not name.endswith(".bias")
    )
    weights = {name: bits // BITS[kind] for name, (kind, bits) in before.items()}
    some = sum(weights[f"{module}weight"] for module in packed)
    every, bits = sum(weights.values()), sum(bits for _, bits in after.values())
    return {
        "bytes": sum(file.stat().st_size for file in directory.glob("*.safetensors")),
        "bytes_of_tensors": bits // 8,
        "weights": every,
        "packed_weights": some,
        "bits_of_packed": of_packed / some if some else None,
        "bits_of_all": bits / every,
    }


def tensors(directory):
    """name -> (how its numbers are stored, bits of them all)."""
    found = {}
    for path in directory.glob("*.safetensors"):
        with safe_open(path, "numpy") as file:
            for name in file.keys():
                part = file.get_slice(name)
                kind, shape = part.get_dtype(), part.get_shape()
                found[name] = kind, BITS[kind] * int(np.prod(shape, dtype=np.int64))
    return found


def told(scheme, file):
    """The line that is printed of a file."""
    bits = file["bits_of_packed"]
    packed = f"{bits:.3f} bits a packed weight, " if bits else ""
    return (
        f"{scheme:12} {file['bytes'] / 1e6:8.1f} MB, {packed}"
        f"{file['bits_of_all']:.3f} of all"
    )


def cost(part, file):
    """Operations of the decoder, and the bytes of its tensors as they lie in the file,
    which is the least that can be read of them."""
    tokens, past = (PROMPT, 0) if part == "prompt" else (1, PROMPT)
    flops = model_costs.text(CONFIG, tokens, past)["flops"]
    return {"flops": flops, "bytes": file["bytes_of_tensors"]}


def memory(options, places, question):
    """Peak MB of fresh processes that load a directory and say some tokens."""
    peaks = {}
    for who, place in places.items():
        fresh = peer(who, place, options)
        fresh.ask(**question)
        peaks[who] = fresh.memory()
        fresh.close()
    ratios = {who: peak / peaks[FULL] for who, peak in peaks.items() if who != FULL}
    schemes = [who for who in peaks if who not in (FULL, HALF)]
    beside = {who: peaks[who] / peaks[HALF] for who in schemes}
    print("memory", peaks, ratios, f"to {HALF}", beside)
    return {"megabytes": peaks, "ratios": ratios, "ratios_to_half_table": beside}


def add_folder(parser):
    """Where the directories lie, or will lie."""
    parser.add_argument("folder", type=Path)


def row_names(scheme):
    """The rows of a scheme."""
    return [f"{part}, {scheme}" for part in PARTS]


def names(options):
    """What `--only` chooses from."""
    return [name for scheme in (FULL, HALF, *SCHEMES) for name in row_names(scheme)]


def main(arguments=None):
    """The command; its exit status."""
    return records.benchmark(
        "quantized-05b",
        measure,
        __doc__,
        names,
        arguments,
        rounds=3,
        more=[add_folder],
    )


if __name__ == "__main__":
    sys.exit(main())
