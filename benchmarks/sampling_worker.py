"""The cases of sampling.py, and the worker that times one library on them.

python -m benchmarks.sampling_worker refvlm|transformers
"""

from __future__ import annotations

import sys

import numpy as np

from . import identity
from .turns import seconds, serve

VOCABULARY, SAID, STOP = 151_936, 300, 151_645
SPREADS = {"peaked": 4.0, "flat": 1.0}  # the standard deviations of the scores
RULES = {  # what each library calls a rule, and what it is given
    "temperature": ("TemperatureLogitsWarper", 0.7),
    "top_k": ("TopKLogitsWarper", 50),
    "top_p": ("TopPLogitsWarper", 0.9),
    "min_p": ("MinPLogitsWarper", 0.1),
    "repetition_penalty": ("RepetitionPenaltyLogitsProcessor", 1.2),
    "no_repeat_ngram": ("NoRepeatNGramLogitsProcessor", 3),
    "min_new_tokens": ("MinNewTokensLengthLogitsProcessor", None),
}
TOGETHER = {
    "temperature, top_k, top_p, sample": ("temperature", "top_k", "top_p", "sample"),
    "temperature, top_p, sample": ("temperature", "top_p", "sample"),
    "all of them": (
        *("repetition_penalty", "no_repeat_ngram", "min_new_tokens"),
        *("temperature", "top_k", "top_p", "min_p", "sample"),
    ),
}
# What it takes does not hang on the scores.
ANY = ("temperature", "repetition_penalty", "no_repeat_ngram", "min_new_tokens")
CHAINS = {name: (name,) for name in ("top_k", "top_p", "min_p", "sample")} | TOGETHER
PROMPTS = 8
AT_ONCE = [name for name in TOGETHER if name.startswith("temperature")]
CASES = {  # name: rules, scores, and of how many prompts at once
    **{name: ((name,), "peaked", 1) for name in ANY},
    **{
        f"{name}, {kind}": (chain, kind, 1)
        for name, chain in CHAINS.items()
        for kind in SPREADS
    },
    **{
        f"{PROMPTS} prompts: {name}, {kind}": (TOGETHER[name], kind, PROMPTS)
        for name in AT_ONCE
        for kind in SPREADS
    },
}


class Worker:
    """Times a chain of rules in one library, on the same scores in each."""

    def __init__(self, library):
        self.library = library
        rng = np.random.default_rng(0)
        normal = rng.standard_normal((PROMPTS, VOCABULARY), dtype=np.float32)
        self.scores = {kind: normal * width for kind, width in SPREADS.items()}
        self.ids = rng.integers(
            0, VOCABULARY, (1, SAID)
        )  # of one prompt: no other rule reads them

    def run(self, name):
        """Seconds of one call, the median of many."""
        return seconds(self.job(name), at_least=0.15, warm=0.03)

    def job(self, name):
        """What is timed of a case; it gives what the last rule does."""
        chain, kind, prompts = CASES[name]
        of_library = self._refvlm if self.library == "refvlm" else self._transformers
        scores, rules = of_library(chain, self.scores[kind][:prompts])

        def call():
            given = scores
            for rule in rules:
                given = rule(given)
            return given

        return call

    def _refvlm(self, chain, scores):
        from refvlm import generate

        rng, ids = np.random.default_rng(1), self.ids
        calls = {
            "repetition_penalty": lambda s, n: generate.repetition_penalty(s, ids, n),
            "no_repeat_ngram": lambda s, n: generate.no_repeat_ngram(s, ids, n),
            "min_new_tokens": lambda s, _: generate.min_new_tokens(s, 0, 5, [STOP]),
            "sample": lambda s, _: generate.sample(s, rng),
        }

        def rule(name):
            call = calls.get(name) or getattr(generate, name)
            number = RULES.get(name, (None, None))[1]
            return lambda s: call(s, number)

        return scores, [rule(name) for name in chain]

    def _transformers(self, chain, scores):
        import torch
        from transformers.generation import logits_process

        torch.set_grad_enabled(False)
        ids = torch.from_numpy(self.ids)

        def rule(name):
            if name == "sample":
                return lambda s: torch.multinomial(torch.softmax(s, -1), 1)
            kind, number = RULES[name]
            given = (SAID, 5, [STOP]) if name == "min_new_tokens" else (number,)
            processor = getattr(logits_process, kind)(*given)
            return lambda s: processor(ids, s)

        return torch.from_numpy(scores), [rule(name) for name in chain]

    def versions(self):
        """What is measured."""
        if self.library == "refvlm":
            return identity.numpy_versions()
        import torch
        import transformers

        return {"torch": torch.__version__, "transformers": transformers.__version__}


if __name__ == "__main__":
    worker = Worker(sys.argv[1])
    serve({"run": worker.run, "versions": worker.versions})
