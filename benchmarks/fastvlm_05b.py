"""FastVLM-0.5B, whole, in float32: refvlm against transformers, taking turns.

    python -m benchmarks.fastvlm_05b FOLDER [--rounds 5]

FOLDER receives a checkpoint with random weights (2.5 GB), once. Measured are the
vision tower at 1024 x 1024 with the projector, the prompt of 288 tokens, each token
after it, and peak memory; transformers in both memory layouts and with both kinds of
attention, of which the better one counts. The logits of one picture with 32 words are
compared too, and the greedy tokens.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from . import checkpoint_05b
from .turns import Peer, add_arguments, machine, median, save, take_turns

IMAGE, IMAGE_TOKENS, WORDS, STEPS = 151646, 256, 32, 16


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    add_arguments(parser)
    options = parser.parse_args()
    options.folder = options.folder.resolve()
    checkpoint_05b.write(options.folder)
    rng = np.random.default_rng(1)
    pixels = options.folder / "pixels.npy"
    np.save(pixels, smooth_picture(rng))
    prompt = rng.integers(0, 150_000, IMAGE_TOKENS + WORDS).tolist()
    ours, theirs = start(options)
    answers, disturbance = speed(ours, theirs, options.rounds, str(pixels), prompt)
    result = {
        "machine": machine(options),
        "versions": ours.ask("versions") | theirs.ask("versions"),
        "disturbance": disturbance,
        "seconds": answers,
        "rows": rows(answers),
        "equality": equality(ours, theirs, options.folder, str(pixels), prompt),
    }
    ours.close(), theirs.close()
    result["memory"] = memory(options, str(pixels), prompt)
    show(result)
    save(options.name or f"fastvlm-05b-{options.kernels}", result)


def start(options):
    """One worker for each library."""
    return (
        Peer("peer_refvlm", options.folder, options=options),
        Peer("peer_transformers", options.folder, options=options),
    )


def smooth_picture(rng):
    """(1, 3, 1024, 1024) in [0, 1]: patches of colour; noise would average to grey."""
    coarse = rng.random((1, 3, 32, 32), dtype=np.float32)
    return coarse.repeat(32, axis=2).repeat(32, axis=3)


def speed(ours, theirs, rounds, pixels, prompt):
    """name -> seconds in each round, and how much was disturbed."""
    see = {"task": "tower", "pixels": pixels}
    towers = {
        "tower/refvlm": (ours, see),
        "tower/channels_last": (theirs, see | {"layout": "channels_last"}),
        "tower/contiguous": (theirs, see | {"layout": "contiguous"}),
    }
    read = {"task": "text", "ids": prompt, "steps": STEPS}
    texts = {
        "refvlm": (ours, read),
        "sdpa": (theirs, read | {"attention": "sdpa"}),
        "eager": (theirs, read | {"attention": "eager"}),
    }
    measured, worst = take_turns(rounds, towers)
    answers, other = take_turns(rounds, texts)
    for name, given in answers.items():
        for part in ("prompt", "token"):
            measured[f"{part}/{name}"] = [answer[part] for answer in given]
    return measured, max(worst, other)


def rows(answers):
    """part -> our median, the better of theirs by name, and the ratio."""
    table = {}
    for part in ("tower", "prompt", "token"):
        medians = {
            name.partition("/")[2]: median(samples)
            for name, samples in answers.items()
            if name.startswith(part)
        }
        ours = medians.pop("refvlm")
        better = min(medians, key=medians.get)
        table[part] = {
            "refvlm": ours,
            "transformers": medians[better],
            "better": better,
            "ratio": ours / medians[better],
        }
    return table


def equality(ours, theirs, folder, pixels, prompt):
    """The largest difference of logits, in units of their spread; greedy tokens."""
    ids = [IMAGE] * IMAGE_TOKENS + prompt[:WORDS]
    files = [str(folder / f"logits-{name}.npy") for name in ("refvlm", "torch")]
    for peer, file in zip((ours, theirs), files):
        peer.ask("logits", pixels=pixels, ids=ids, out=file)
    actual, expected = (np.load(file) for file in files)
    tokens = [peer.ask("text", ids=prompt, steps=STEPS) for peer in (ours, theirs)]
    return {
        "logits_standard_deviation": float(expected.std()),
        "largest_difference": float(np.abs(actual - expected).max()),
        "largest_logit": float(np.abs(expected).max()),
        "greedy_tokens_equal": tokens[0]["tokens"] == tokens[1]["tokens"],
    }


def memory(options, pixels, prompt):
    """Peak MB of fresh processes that load, see, read and write one answer."""
    peaks = {}
    for name, peer in zip(("refvlm", "transformers"), start(options)):
        peer.ask("tower", pixels=pixels)
        peer.ask("text", ids=prompt, steps=4)
        peaks[name] = peer.ask("memory")
        peer.close()
    return peaks | {"ratio": peaks["refvlm"] / peaks["transformers"]}


def show(result):
    """The table, in words."""
    print(result["machine"], result["versions"])
    print(f"other programs took {result['disturbance']:.1%} of the machine at most")
    for part, row in result["rows"].items():
        print(
            f"{part:8} refvlm {row['refvlm']:.3f} s   transformers "
            f"{row['transformers']:.3f} s ({row['better']})   ratio {row['ratio']:.2f}"
        )
    peaks = result["memory"]
    print(
        f"memory   refvlm {peaks['refvlm']:.0f} MB   transformers "
        f"{peaks['transformers']:.0f} MB   ratio {peaks['ratio']:.2f}"
    )
    print(result["equality"])


if __name__ == "__main__":
    main()
