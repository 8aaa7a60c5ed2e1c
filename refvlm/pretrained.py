"""A checkpoint directory, ready to use: `vlm = refvlm.load("FastVLM-0.5B")`.

    vlm.logits(pixel_values, input_ids)            # (b, tokens, vocabulary)
    vlm.generate(pixel_values, input_ids, 20)      # (b, 20): the new ids only
    vlm.describe("photo.jpg", "What is this?")     # text

The directory is Hugging Face's or Apple's, as downloaded: `config.json`, safetensors,
a tokenizer and a preprocessor. Its tensors are held against its configuration before
anything is computed; nothing is fetched from a network.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
import tokenizers

from . import checkpoint, image, text
from .generate import decode
from .models import fastvlm, qwen2
from .models.dialects import canonical
from .models.fastvithd import Progress, prepare

PROMPT = "Describe the image."

# Tensors that a published file may hold and inference has no use for.
UNUSED = ("*.num_batches_tracked", "*.rotary_emb.inv_freq", f"{fastvlm.TOWER}.head.*")


def load(path: str | Path, dtype=np.float32) -> VLM:
    """Open a checkpoint directory; tensors are read when first used."""
    directory = Path(path)
    if not directory.is_dir():
        raise checkpoint.CheckpointError(
            f"{path} is not a directory: give the folder that holds config.json"
        )
    described = checkpoint.read_json(directory / "config.json")
    config = fastvlm.FastVLMConfig.from_json(described)
    weights = canonical(checkpoint.load(directory, dtype=dtype))
    tied = config.text.tie_word_embeddings and fastvlm.HEAD not in weights
    expected = fastvlm.expected_shapes(config, tied)
    checkpoint.expect(weights, expected, ignore=UNUSED)
    weights = prepare(weights, config.vision, fastvlm.TOWER)
    return VLM(config, weights, directory, _stop_ids(directory, described))


def save(
    directory: str | Path,
    tensors: Mapping[str, np.ndarray],
    tokenizer: tokenizers.Tokenizer,
    **documents: Mapping,
) -> None:
    """Write a checkpoint directory that `load`, and transformers, can open.

    `documents` are its JSON files: `config={...}` becomes config.json. `load` wants
    config and preprocessor_config, and tokenizer_config for its chat_template.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    checkpoint.save(directory / "model.safetensors", tensors)
    tokenizer.save(str(directory / "tokenizer.json"))
    for name, document in documents.items():
        path = directory / f"{name}.json"
        path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


class VLM:
    """A model with its weights, and the tokenizer and preprocessor beside them."""

    def __init__(self, config, weights, directory=None, stop_ids=()):
        self.config, self.weights, self.directory = config, weights, directory
        self.stop_ids = frozenset(stop_ids)

    @cached_property
    def tokenizer(self) -> text.Tokenizer:
        """The tokenizer, once its chat template is known to be ChatML."""
        tokenizer = text.load_tokenizer(self.directory)
        text.recognise_template(self.directory, tokenizer)
        return tokenizer

    @cached_property
    def preprocessor(self) -> image.Preprocessor:
        """The steps from a picture to pixel_values, by the checkpoint's own files."""
        return image.read_preprocessor(self.directory)

    def logits(self, pixel_values, input_ids, attention_mask=None) -> np.ndarray:
        """Scores of every next token, (b, tokens, vocabulary).

        pixel_values (n, 3, h, w) or None; input_ids (b, t), where a picture is one
        -200 or the checkpoint's image token repeated; attention_mask (b, t).
        """
        return fastvlm.fastvlm(
            pixel_values,
            self._ids(input_ids),
            self.weights,
            self.config,
            attention_mask,
        )

    def stream(
        self,
        pixel_values,
        input_ids,
        max_new_tokens: int,
        attention_mask=None,
        progress: Progress | None = None,
    ) -> Iterator[np.ndarray]:
        """Yield the new ids (b,) one at a time, greedily, with a cache.

        `progress(done, blocks)` is called after each block of the tower.
        """
        if max_new_tokens < 0:
            raise ValueError(f"max_new_tokens is {max_new_tokens}, but 0 is the least")
        ids, seen = self._ids(input_ids), None
        if pixel_values is not None:
            seen = fastvlm.encode_image(
                pixel_values, self.weights, self.config, progress
            )
            ids, attention_mask = fastvlm.make_room(ids, seen.shape[1], attention_mask)
        embeddings = fastvlm.embed(ids, seen, self.weights, self.config)
        room = ids.shape[1] + max_new_tokens
        cache = qwen2.new_cache(self.config.text, len(ids), room, embeddings.dtype)
        mask = None
        if attention_mask is not None:
            mask = np.ones((len(ids), room), bool)
            mask[:, : ids.shape[1]] = attention_mask

        def step(embeddings):
            upto = cache.length + embeddings.shape[1]
            hidden = qwen2.qwen2(
                embeddings,
                self.weights.scope(fastvlm.DECODER),
                self.config.text,
                None if mask is None else mask[:, :upto],
                cache,
            )
            return fastvlm.head(hidden[:, -1:], self.weights)[:, 0]

        def next_token(ids):
            return step(fastvlm.embed(ids[:, None], None, self.weights, self.config))

        yield from decode(step(embeddings), next_token, max_new_tokens, self.stop_ids)

    def generate(
        self, pixel_values, input_ids, max_new_tokens: int, attention_mask=None
    ) -> np.ndarray:
        """The new ids only, (b, new): greedy, up to a stop id (kept) or the limit."""
        steps = self.stream(pixel_values, input_ids, max_new_tokens, attention_mask)
        new = [ids[:, None] for ids in steps]
        return np.concatenate([np.empty((len(input_ids), 0), np.int64), *new], axis=1)

    def prompt_ids(self, prompt: str) -> np.ndarray:
        """The question in the checkpoint's chat frame, with -200 for the picture."""
        return np.array([text.encode_chat(self.tokenizer, prompt, fastvlm.IMAGE)])

    def describe_stream(
        self,
        picture,
        prompt: str = PROMPT,
        max_new_tokens: int = 256,
        progress: Progress | None = None,
    ) -> Iterator[tuple[int, str]]:
        """Yield (id, text) as the answer comes; a text may be empty or end a word."""
        ids = self.prompt_ids(prompt)
        pixels = self.preprocessor(picture)[None]
        decoder = text.StreamDecoder(self.tokenizer, markers=False)
        for (new,) in self.stream(pixels, ids, max_new_tokens, progress=progress):
            yield int(new), decoder.add(int(new))
        yield -1, decoder.finish()

    def describe(self, picture, prompt: str = PROMPT, max_new_tokens: int = 256) -> str:
        """What the model says about a picture: a path, a stream, bytes or an array."""
        pieces = self.describe_stream(picture, prompt, max_new_tokens)
        return "".join(piece for _, piece in pieces).strip()

    def _ids(self, input_ids):
        """input_ids as (b, t) whole numbers, each one a token or the image mark."""
        ids = np.asarray(input_ids)
        vocabulary = self.config.text.vocab_size
        if ids.ndim != 2 or ids.size == 0 or ids.dtype.kind not in "iu":
            raise ValueError(
                f"input_ids must be whole numbers (batch, tokens), not {ids.dtype} "
                f"{ids.shape}"
            )
        wrong = (ids != fastvlm.IMAGE) & ((ids < 0) | (ids >= vocabulary))
        if wrong.any():
            raise ValueError(
                f"input_ids has {ids[wrong][0]}, but the vocabulary is 0 to "
                f"{vocabulary - 1} (and {fastvlm.IMAGE} for a picture)"
            )
        return ids


def _stop_ids(directory, described):
    """The ids that end an answer: eos of generation_config.json, else config.json's."""
    path = directory / "generation_config.json"
    generation = checkpoint.read_json(path) if path.exists() else {}
    nested = described.get("text_config")
    for source in (generation, described, nested if isinstance(nested, dict) else {}):
        stops = source.get("eos_token_id")
        if stops is not None:
            stops = stops if isinstance(stops, list) else [stops]
            if not all(type(stop) is int and stop >= 0 for stop in stops):
                raise checkpoint.CheckpointError(
                    f"{directory}: eos_token_id is {stops!r:.60}, not token ids"
                )
            return stops
    return []
