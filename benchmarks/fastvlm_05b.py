"""FastVLM-0.5B, whole, in float32: refvlm against its opponents, taking turns.

    python -m benchmarks.fastvlm_05b FOLDER [--rounds 4] [--only tower] [--record]

FOLDER receives a checkpoint with random weights (2.5 GB), once. Measured are the
vision tower at 1024 x 1024 with the projector, the prompt of 288 tokens, each token
after it, and peak memory; transformers in both memory layouts and with both kinds of
attention, of which the better one counts, and onnxruntime where it can. The logits of
one picture with 32 words are compared too, and the greedy tokens; and refvlm with
itself where threadpoolctl is missing. 4 rounds take 8 minutes.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from refvlm.models.fastvlm import FastVLMConfig

from . import checkpoint_05b, model_costs, records, rows
from .opponents import onnxruntime
from .turns import Peer, take_turns, versions

IMAGE, IMAGE_TOKENS, WORDS, STEPS, SIZE = 151646, 256, 32, 16, 1024
CONFIG = FastVLMConfig.from_json(checkpoint_05b.CONFIG)
PROMPT = IMAGE_TOKENS + WORDS
NEEDS = ("torch", "transformers", "timm")
WITHOUT = "without threadpoolctl"
COSTS = {
    "tower": model_costs.tower(CONFIG, SIZE),
    "prompt": model_costs.text(CONFIG.text, PROMPT),
    "token": model_costs.text(CONFIG.text, 1, PROMPT),
}


def measure(options):
    """The record's rows, what memory was needed, and that the answers agree."""
    folder = options.folder = options.folder.resolve()
    checkpoint_05b.write(folder)
    rng = np.random.default_rng(1)
    pixels = folder / "pixels.npy"
    np.save(pixels, smooth_picture(rng))
    pixels, prompt = str(pixels), rng.integers(0, 150_000, PROMPT).tolist()
    peers = start(options)
    measured = versions(peers.values())
    table = compare(against_all(peers), options, pixels, prompt)
    equal = equality(peers, folder, pixels, prompt)
    for peer in peers.values():
        peer.close()
    table |= without_threadpoolctl(options, pixels, prompt)
    return {
        "versions": measured,
        "rows": table,
        "equality": equal,
        "memory": memory(options, pixels, prompt),
    }


def start(options):
    """A worker for each library."""
    return {
        "refvlm": Peer("peer_refvlm", options.folder, options=options),
        "pytorch": Peer("peer_transformers", options.folder, options=options),
        **onnxruntime(options, "model", options.folder),
    }


def against_all(peers):
    """Who takes part: {who: (peer, what its tower is asked, what its text is asked)}.

    `None` for a question says that this form has nothing else there.
    """
    pytorch = peers["pytorch"]
    forms = {
        "refvlm": (peers["refvlm"], {}, {}),
        "channels_last": (pytorch, {"layout": "channels_last"}, None),
        "contiguous": (pytorch, {"layout": "contiguous"}, None),
        "sdpa": (pytorch, None, {"attention": "sdpa"}),
        "eager": (pytorch, None, {"attention": "eager"}),
    }
    if "onnxruntime" in peers:
        forms["onnxruntime"] = peers["onnxruntime"], {}, {}
    return forms


def compare(forms, options, pixels, prompt, named=""):
    """The rows of tower, prompt and token, printed."""
    see = {"task": "tower", "pixels": pixels}
    read = {"task": "text", "ids": prompt, "steps": STEPS}
    seeing = {w: (p, see | s) for w, (p, s, _) in forms.items() if s is not None}
    reading = {w: (p, read | r) for w, (p, _, r) in forms.items() if r is not None}
    table, wanted = {}, [part for part in COSTS if options.only in part + named]
    if "tower" in wanted:
        answers, disturbance = take_turns(options.rounds, seeing)
        table["tower" + named] = rows.row(answers, COSTS["tower"], disturbance)
    if texts := [part for part in wanted if part != "tower"]:  # read in one go
        answers, disturbance = take_turns(options.rounds, reading)
        for part in texts:
            times = {w: a and [each[part] for each in a] for w, a in answers.items()}
            table[part + named] = rows.row(times, COSTS[part], disturbance)
    for name, row in table.items():
        print(rows.in_words(name, row), flush=True)
    return table


def without_threadpoolctl(options, pixels, prompt):
    """The rows of refvlm against itself in a process that lacks threadpoolctl."""
    folder = options.folder
    peers = {
        "refvlm": Peer("peer_refvlm", folder, options=options),
        WITHOUT: Peer("peer_refvlm", folder, "without-threadpoolctl", options=options),
    }
    forms = {who: (peer, {}, {}) for who, peer in peers.items()}
    table = compare(forms, options, pixels, prompt, f", {WITHOUT}")
    for peer in peers.values():
        peer.close()
    return table


def smooth_picture(rng):
    """(1, 3, 1024, 1024) in [0, 1]: patches of colour; noise would average to grey."""
    coarse = rng.random((1, 3, 32, 32), dtype=np.float32)
    return coarse.repeat(32, axis=2).repeat(32, axis=3)


def equality(peers, folder, pixels, prompt):
    """who -> how far refvlm's logits are from theirs, and whether greedy tokens agree.

    Logits are of a picture with words, in every position.
    """
    ids = [IMAGE] * IMAGE_TOKENS + prompt[:WORDS]
    logits, tokens = {}, {}
    for who, peer in peers.items():
        out = str(folder / f"logits-{who}.npy")
        peer.ask("logits", pixels=pixels, ids=ids, out=out)
        logits[who] = np.load(out)
        tokens[who] = peer.ask("text", ids=prompt, steps=STEPS)["tokens"]
    ours = logits.pop("refvlm")
    return {
        who: {
            "logits_standard_deviation": float(theirs.std()),
            "largest_difference": float(np.abs(ours - theirs).max()),
            "largest_logit": float(np.abs(theirs).max()),
            "greedy_tokens_equal": tokens["refvlm"] == tokens[who],
        }
        for who, theirs in logits.items()
    }


def memory(options, pixels, prompt):
    """Peak MB of fresh processes that load, see, read and write one answer."""
    peaks = {}
    for name, peer in start(options).items():
        peer.ask("tower", pixels=pixels)
        peer.ask("text", ids=prompt, steps=4)
        peaks[name] = peer.memory()
        peer.close()
    ratios = {who: peaks["refvlm"] / peaks[who] for who in peaks if who != "refvlm"}
    print("memory", peaks, ratios)
    return {"megabytes": peaks, "ratios": ratios}


def add_folder(parser):
    """Where the checkpoint lies, or will lie."""
    parser.add_argument("folder", type=Path)


def names(options):
    """What `--only` chooses from."""
    return [part + named for named in ("", f", {WITHOUT}") for part in COSTS]


def main(arguments=None):
    """The command; its exit status."""
    return records.benchmark(
        "fastvlm-05b",
        measure,
        __doc__,
        names,
        arguments,
        rounds=4,
        needs=NEEDS,
        more=[add_folder],
    )


if __name__ == "__main__":
    sys.exit(main())
