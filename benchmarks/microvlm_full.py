"""MicroVLM-V at its full size, in float32: the time of its parts, and the peak memory.

    python -m benchmarks.microvlm_full [--rounds 3] [--only decoder] [--record]

555 million random numbers in a process of their own, nothing on the disk (2.2 GB of
memory for them, 2.5 at the peak). An episode of four pictures is seen, made a prefix,
ordered, written, and asked four times; the decoder reads the pictures with 32 words
each, with a slot before them and without. So every part says what four pictures cost,
and the row of the decoder what a memory adds to it. 3 rounds take about 2 minutes.
"""

from __future__ import annotations

import sys

from refvlm.analysis.microvlm_rows import microvlm_rows
from refvlm.models.microvlm_config import MicroVLMConfig

from . import records, rows
from .turns import Peer, take_turns, versions

CONFIG = MicroVLMConfig()
PICTURES, WORDS = 4, 32
FLOAT = 4  # bytes
WORKER = "microvlm_full_worker"
# Each part of the worker's answer -> the rows of the table that it computes.
PARTS = {
    "tower": ("patches", "class, positions", "layers.0-11"),
    "adapter": ("adapter",),
    "order": ("order of contexts",),
    "write": ("memory, mean", "covariance"),
    "read": ("read", "gate"),
    "slots": ("slots: keys, values",),
    "decoder": ("layers.0-23",),
    "decoder alone": ("layers.0-23",),
    "head": ("lm_head, tied",),
}
WITH, WITHOUT = "decoder", "decoder alone"


def measure(options):
    """The record's rows, the memory that a process needs, and what is in it."""
    worker = peer(options)
    measured = versions([worker])
    question = {"task": "episode", "pictures": PICTURES, "words": WORDS}
    answers, disturbance = take_turns(options.rounds, {"refvlm": (worker, question)})
    worker.close()
    table = {}
    for part in (part for part in PARTS if options.only in part):
        times = times_of(part, answers["refvlm"])
        table[part] = rows.row(times, cost(part), disturbance)
        print(rows.in_words(part, table[part]), flush=True)
    return {
        "versions": measured,
        "rows": table,
        "memory": memory(options),
    }


def peer(options):
    """A process that holds a model."""
    return Peer(WORKER, options=options)


def times_of(part, answers):
    """Seconds of the rounds; of the decoder with a slot, beside those of it alone."""
    times = {"refvlm": [one[part] for one in answers]}
    if part == WITH:
        times[WITHOUT] = [one[WITHOUT] for one in answers]
    return times


def table_of():
    """The rows of one picture with its words."""
    side = CONFIG.vision.image_size
    return microvlm_rows(CONFIG, side, side, WORDS)


def cost(part):
    """Operations of so many pictures, and the bytes of the weights and of the memory,
    each read once, and what is written, written once."""
    own = [row for row in table_of() if row.stage in PARTS[part]]
    flops, numbers = sum(r.flops for r in own), sum(r.parameters for r in own)
    return {
        "flops": PICTURES * (flops + (slot_flops() if part == WITH else 0)),
        "bytes": FLOAT * (numbers + more_numbers(part)),
    }


def slot_flops():
    """What one slot before a text costs in all layers: each of its queries has one key
    more to compare with, and one value more to add."""
    text, tokens = CONFIG.text, CONFIG.adapter.tokens + WORDS
    width = text.num_attention_heads * text.head_dim
    return text.num_hidden_layers * tokens * 2 * 2 * width


def more_numbers(part):
    """Numbers that are read or written and are no weights of the part's own."""
    text, memory = CONFIG.text, CONFIG.memory
    mean, covariance = memory.slots * memory.width, memory.slots**2
    return {
        "write": 2 * (mean + covariance),
        "read": mean,
        "head": text.vocab_size * text.hidden_size,
    }.get(part, 0)


def memory(options):
    """Peak MB of fresh processes: with the model in hand, and after a whole pass of the
    source's diagram, which gives logits for every token."""
    peaks = {}
    for who, task in (("weights", "nothing"), ("refvlm", "whole")):
        fresh = peer(options)
        fresh.ask(task, pictures=PICTURES, words=WORDS)
        peaks[who] = fresh.memory()
        fresh.close()
    print("memory", peaks)
    return {"megabytes": peaks}


def names(options):
    """What `--only` chooses from."""
    return list(PARTS)


def main(arguments=None):
    """The command; its exit status."""
    return records.benchmark(
        "microvlm-full", measure, __doc__, names, arguments, rounds=3
    )


if __name__ == "__main__":
    sys.exit(main())
