"""A small byte-level vocabulary, learnt in a moment, and the files that hold it."""

import collections
import functools
import itertools
import json
import re

from refvlm.text import bpe_train
from refvlm.text.bpe.byte_level import byte_alphabet

CORPUS = """
What is on the table? There is a red cube on the table, and a small blue ball beside it.
Don't you see that it's not there, that we've been here, they'll say I'd known?
12345 and 2026, 3.14159; naïve café, Zürich, mañana, Ελλάδα, Привет мир, 你好世界,
def main(x):\n\treturn x ** 2  # a comment\n\n\n    indented   spaces
user assistant system image im start end

2026 2026 2026 12345 12345 -Stable +Stable *Stable we'LL we'LL it's, it's,
$x$ $y$ $a$ $b$

end.

end.

end.
"""

MARKERS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>"]


@functools.cache
def learn(merges_wanted=144):
    """vocabulary and merges of byte-pair encoding: merge the commonest pair, repeat.

    It learns across digits, signs and line ends, where Qwen2 cuts: so a cut in the
    wrong place shows.
    """
    alphabet = byte_alphabet()
    words = [
        [alphabet[byte] for byte in word.encode()]
        for word in re.findall(r"\s*\S+", CORPUS) + re.findall(r"\W\n+", CORPUS)
    ]
    merges = []
    for _ in range(merges_wanted):
        counts = {}
        for word in words:
            for pair in itertools.pairwise(word):
                counts[pair] = counts.get(pair, 0) + 1
        best = max(counts, key=lambda pair: (counts[pair], pair))
        merges.append(best)
        words = [merge(word, best) for word in words]
    tokens = [*alphabet.values(), *("".join(pair) for pair in merges)]
    vocabulary = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    return vocabulary, merges


def merge(word, pair):
    merged, i = [], 0
    while i < len(word):
        together = tuple(word[i : i + 2]) == pair
        merged.append("".join(pair) if together else word[i])
        i += 2 if together else 1
    return merged


def added_tokens(vocabulary):
    return {name: len(vocabulary) + i for i, name in enumerate(MARKERS)}


def write_vocabulary(directory, chat_template=None, markers="tokenizer_config"):
    """The files of a Qwen2 tokenizer without tokenizer.json, as Apple's are."""
    directory.mkdir(exist_ok=True, parents=True)
    vocabulary, merges = learn()
    (directory / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (directory / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    config = {"tokenizer_class": "Qwen2Tokenizer"}
    added = added_tokens(vocabulary)
    if markers == "added_tokens":
        (directory / "added_tokens.json").write_text(json.dumps(added))
    elif markers == "tokenizer_config":
        config["added_tokens_decoder"] = {
            str(token_id): {"content": name, "special": True, "normalized": False}
            for name, token_id in added.items()
        }
    if chat_template is not None:
        config["chat_template"] = chat_template
    (directory / "tokenizer_config.json").write_text(json.dumps(config))
    return directory


def transformers_tokenizer(directory):
    """What transformers makes of the same directory."""
    from transformers import Qwen2Tokenizer

    return Qwen2Tokenizer.from_pretrained(directory, local_files_only=True)


@functools.cache
def learn_clip(merges_wanted=120):
    """CLIP's vocabulary and merges: small letters, and a mark at each word's end."""
    alphabet = byte_alphabet()
    words = collections.Counter(
        tuple(alphabet[byte] for byte in word.encode())
        for word in re.findall(r"[^\W\d_]+|\d|[^\w\s]+", CORPUS.lower())
    )
    ended = {(*word[:-1], word[-1] + "</w>"): count for word, count in words.items()}
    merges = bpe_train(ended, merges_wanted)
    letters = list(alphabet.values())
    ends = [letter + "</w>" for letter in letters]
    tokens = [*letters, *ends, *map("".join, merges), *CLIP_MARKERS]
    return {token: number for number, token in enumerate(tokens)}, merges


CLIP_MARKERS = ["<|startoftext|>", "<|endoftext|>"]


def write_family(directory, name, vocabulary, merges, **config):
    """vocab.json, merges.txt, and the class that is to read them (None: not said)."""
    directory.mkdir(exist_ok=True, parents=True)
    (directory / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (directory / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    config |= {} if name is None else {"tokenizer_class": name}
    (directory / "tokenizer_config.json").write_text(json.dumps(config))
    return directory
