"""Two libraries in two processes, taking turns; medians, and results on disk.

Never time NumPy and PyTorch in one process: their thread pools wait for each other's
cores. And never time one today and the other tomorrow: a busy machine slows both. So
each library is served by a process of its own, which sleeps while the other works;
every round asks both, in alternating order, and a ratio is of medians.

A worker is a module that calls `serve` with its tasks. A task takes what the question
carries and returns what can be written as JSON.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
ROOT = Path(__file__).parent.parent

# What would choose a library's instructions for it. By default each chooses itself.
CHOICES = (
    "OPENBLAS_CORETYPE",
    "OPENBLAS_L2_SIZE",
    "MKL_ENABLE_INSTRUCTIONS",
    "ATEN_CPU_CAPABILITY",
    "ONEDNN_MAX_CPU_ISA",
    "NPY_DISABLE_CPU_FEATURES",
)
AVX2 = {
    "OPENBLAS_CORETYPE": "Haswell",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL "
    "AVX512_ICL AVX512_SPR X86_V4",
}


def add_arguments(parser):
    """The options that all benchmarks share."""
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument(
        "--kernels",
        choices=("native", "avx2", "given"),
        default="native",
        help="native: each library picks its instructions; avx2: both are held to "
        "AVX2; given: the environment as it is",
    )
    parser.add_argument("--name", help="the result's name in benchmarks/results")


def environment(options):
    """The variables of a worker."""
    variables = dict(os.environ, HF_HUB_OFFLINE="1")
    if options.kernels != "given":
        for name in CHOICES:
            variables.pop(name, None)
    if options.kernels == "avx2":
        variables |= AVX2
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        variables[name] = str(options.threads)
    return variables


class Peer:
    """A worker process, and questions to it."""

    def __init__(self, script, *arguments, options):
        self.process = subprocess.Popen(
            [sys.executable, "-m", f"benchmarks.{script}", *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(options),
            cwd=ROOT,
        )

    def ask(self, task, **question):
        """The answer to one question; the worker's error ends the benchmark."""
        self.process.stdin.write(json.dumps({"task": task, **question}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"the worker for {task!r} ended: its error is above")
        return json.loads(line)

    def close(self):
        """Close the worker's input, which ends it."""
        self.process.stdin.close()
        self.process.wait()


def serve(tasks):
    """Answer questions from standard input until it closes."""
    answers = os.fdopen(os.dup(1), "w")
    sys.stdout = sys.stderr  # whatever a library prints is not an answer
    for line in sys.stdin:
        question = json.loads(line)
        answer = tasks[question.pop("task")](**question)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def seconds(function, repeats=1):
    """The shortest of `repeats` timings of a call."""
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - start)
    return best


def take_turns(rounds, turns):
    """name -> list of answers, for {name: function to call}, interleaved.

    Each round asks everybody once, every other round in reverse order. One round
    before the first warms up, and is not counted.
    """
    answers = {name: [] for name in turns}
    for number in range(rounds + 1):
        order = list(turns)[:: -1 if number % 2 else 1]
        for name in order:
            answer = turns[name]()
            if number:
                answers[name].append(answer)
    return answers


def median(samples):
    """The median: one disturbed round does not move it."""
    return statistics.median(samples)


def machine(options):
    """What the numbers were measured on."""
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": options.threads,
        "kernels": options.kernels,
        "python": sys.version.split()[0],
    }


def processor():
    """The processor's name, as the system tells it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown"


def save(name, result):
    """Write results/NAME.json whole or not at all, and say where."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    result = {"measured": time.strftime("%Y-%m-%d"), **result}
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    os.replace(unfinished, path)
    print(f"wrote {path.relative_to(ROOT)}")
