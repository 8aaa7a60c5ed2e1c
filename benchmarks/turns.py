"""Two libraries in two processes, taking turns; medians, and results on disk.

Never time NumPy and PyTorch in one process: their thread pools wait for each other's
cores. And never time one today and the other tomorrow: a busy machine slows both. So
each library is served by a process of its own, which sleeps while the other works;
every round asks both, in alternating order, and a ratio is of medians. An answer during
which other programs took more than a few hundredths of the machine does not count.

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

QUIET = 0.05  # the share of the machine that other programs may take during an answer
PATIENCE = 3  # rounds to try for each one wanted; then the quietest count
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
        start, before = time.perf_counter(), self._others()
        self.process.stdin.write(json.dumps({"task": task, **question}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"the worker for {task!r} ended: its error is above")
        capacity = (time.perf_counter() - start) * os.cpu_count()
        self.disturbance = max(0.0, (self._others() - before) / capacity)
        return json.loads(line)

    def ask_in_quiet(self, task, **question):
        """The least disturbed answer of a few, the first quiet one if there is one."""
        answers = []
        for _ in range(PATIENCE):
            answer = self.ask(task, **question)
            answers.append((self.disturbance, answer))
            if self.disturbance < QUIET:
                break
        return min(answers, key=lambda pair: pair[0])[1]

    def _others(self):
        """Seconds of work that the system has done for anybody but this worker."""
        kinds = list(
            map(int, Path("/proc/stat").read_text().split("\n")[0].split()[1:])
        )
        everybody = sum(kinds) - kinds[3] - kinds[4]  # not idle, not waiting for a disk
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2]
        mine = sum(map(int, fields.split()[11:13]))
        return (everybody - mine) / os.sysconf("SC_CLK_TCK")

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


def seconds(function, at_least=0.25):
    """The shortest of the timings of a call, repeated for `at_least` seconds."""
    best, end = float("inf"), time.perf_counter() + at_least
    while True:
        start = time.perf_counter()
        function()
        now = time.perf_counter()
        best = min(best, now - start)
        if now > end:
            return best


def take_turns(rounds, turns):
    """name -> answers, for {name: (peer, question)}, interleaved, and the disturbance.

    Each round asks everybody once, every other round in reverse order, until each has
    `rounds` undisturbed answers. A round before the first warms up and does not count.
    """
    answers = {name: [] for name in turns}
    for number in range(PATIENCE * rounds + 1):
        order = list(turns)[:: -1 if number % 2 else 1]
        for name in order:
            peer, question = turns[name]
            answer = peer.ask(**question)
            if number:
                answers[name].append((peer.disturbance, answer))
        quiet = [sum(d < QUIET for d, _ in given) for given in answers.values()]
        if min(quiet) >= rounds:
            break
    chosen = {
        name: sorted(given, key=lambda pair: pair[0])[:rounds]
        for name, given in answers.items()
    }
    worst = max(given[-1][0] for given in chosen.values())
    return {name: [a for _, a in given] for name, given in chosen.items()}, worst


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
