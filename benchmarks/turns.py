"""Libraries in processes of their own, taking turns.

Never time NumPy and PyTorch in one process: their thread pools wait for each other's
cores. And never time one today and the other tomorrow: a busy machine slows both. So
each library is served by a process of its own, which sleeps while the others work;
every round asks everybody, in alternating order, and a ratio is of medians. An answer
during which other programs took more than a few hundredths of the machine does not
count, and where quiet answers cannot be had the whole run is refused.

A worker is a module that calls `serve` with its tasks. A task takes what the question
carries and returns what can be written as JSON; `None` says that it cannot do that.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

QUIET = 0.05  # the share of the machine that other programs may take during an answer
PATIENCE = 20  # answers to try for each one wanted: short ones are easily disturbed
PAUSE = 0.25  # seconds until the next try, by which what is brief is over
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
THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "RAYON_NUM_THREADS",  # of tokenizers
)


class RefusedError(Exception):
    """No believable measurement can be had; the reason in words."""


def environment(kernels, threads):
    """The variables of a worker."""
    variables = dict(os.environ, HF_HUB_OFFLINE="1")
    if kernels != "given":
        for name in CHOICES:
            variables.pop(name, None)
    if kernels == "avx2":
        variables |= AVX2
    return variables | dict.fromkeys(THREADS, str(threads))


def time_left(start, done, of):
    """What to say once `done` of `of` equal parts are done, since `start`."""
    seconds = (time.perf_counter() - start) / done * (of - done)
    return f"{done} of {of}, about {seconds:.0f} s left"


class Peer:
    """A worker process, and questions to it."""

    def __init__(self, script, *arguments, options, threads=None):
        with deaf_to_interrupts():
            self.process = subprocess.Popen(
                [sys.executable, "-m", f"benchmarks.{script}", *map(str, arguments)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=environment(options.kernels, threads or options.threads),
                cwd=ROOT,
            )
        LIVING.append(self)

    def ask(self, task, **question):
        """The answer to one question; refused when the worker has ended."""
        start, before = time.perf_counter(), self._others()
        with contextlib.suppress(BrokenPipeError):  # who ended has no answer either
            self.process.stdin.write(json.dumps({"task": task, **question}) + "\n")
            self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RefusedError(f"the worker for {task!r} ended: its error is above")
        capacity = (time.perf_counter() - start) * os.cpu_count()
        self.disturbance = max(0.0, (self._others() - before) / capacity)
        return json.loads(line)

    def _others(self):
        """Seconds of work that the system has done for anybody but this worker and
        the processes that it started."""
        line = Path("/proc/stat").read_text().split("\n")[0]
        kinds = [int(ticks) for ticks in line.split()[1:9]]  # a guest's are in user's
        everybody = sum(kinds) - kinds[3] - kinds[4]  # not idle, not waiting for a disk
        mine = sum(ticks(number) for number in family(self.process.pid))
        return (everybody - mine) / os.sysconf("SC_CLK_TCK")

    def memory(self):
        """The worker's peak of resident memory, in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024

    def close(self, wait=True):
        """Close the worker's input, which ends it once it has answered."""
        if self in LIVING:
            LIVING.remove(self)
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        if wait:
            self.process.wait()


LIVING: list[Peer] = []  # whose input is open


@contextlib.contextmanager
def deaf_to_interrupts():
    """What is started here inherits that it ignores Ctrl-C; its input ends it."""
    usual = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)


def versions(peers):
    """What the workers measure, once all of them have started.

    Starting takes the machine, too, so this is asked before any work is timed.
    """
    found = {}
    for peer in peers:
        found |= peer.ask("versions")
    return found


def family(number):
    """A process and those that it started, by number."""
    children = Path(f"/proc/{number}/task/{number}/children")
    started = children.read_text().split() if children.exists() else []
    return [number, *(each for child in started for each in family(child))]


def ticks(number):
    """What a process, and those that it started and saw end, have taken of the
    processor, in the system's units."""
    fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2]
    return sum(map(int, fields.split()[11:15]))


def serve(tasks):
    """Answer questions from standard input until it closes."""
    answers = os.fdopen(os.dup(1), "w")
    sys.stdout = sys.stderr  # whatever a library prints is not an answer
    for line in sys.stdin:
        question = json.loads(line)
        answer = tasks[question.pop("task")](**question)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def seconds(function, at_least=0.25, warm=0.05):
    """The median time of a call, after calls that warm caches, pages and threads.

    The first calls find their arrays unmapped and the clock low; they go on for `warm`
    seconds and do not count. Those that count go on for `at_least`, three at least.
    """
    start = time.perf_counter()
    function()
    while time.perf_counter() < start + warm:
        function()
    times, end = [], time.perf_counter() + at_least
    while len(times) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def ask_in_quiet(peer, question):
    """The first answer that was not disturbed, and how much it was."""
    for _ in range(PATIENCE):
        answer = peer.ask(**question)
        if peer.disturbance < QUIET:
            return answer, peer.disturbance
        time.sleep(PAUSE)
    raise RefusedError(
        f"{PATIENCE} times others took more than {QUIET:.0%} of the machine while it "
        f"answered {question}"
    )


def take_turns(rounds, turns):
    """name -> answers, for {name: (peer, question)}, interleaved, and the disturbance.

    Each round asks everybody once, every other round in reverse order. A round before
    the first warms up and does not count. Who answers that it cannot is not asked again
    and has `None` for answers.
    """
    warm = {name: peer.ask(**question) for name, (peer, question) in turns.items()}
    able = [name for name, answer in warm.items() if answer is not None]
    answers, worst = {n: [] if n in able else None for n in turns}, 0.0
    for number in range(rounds):
        for name in able[:: 1 if number % 2 else -1]:
            answer, disturbance = ask_in_quiet(*turns[name])
            answers[name].append(answer)
            worst = max(worst, disturbance)
    return answers, worst
