"""A model that continues text: `lm = refvlm.load("gpt2")`, a LLaMA or a Qwen2.

    lm.logits(input_ids)                           # (b, tokens, vocabulary)
    lm.generate(input_ids, 20)                     # (b, new): the new ids only
    lm.complete("Once upon a time", 40)            # text: what follows
    lm.complete("Once", do_sample=True, temperature=0.8, rng=rng)
    lm.perplexity(text)                            # e to the mean surprise

The directory is Hugging Face's: config.json, safetensors and a tokenizer. Its tensors
are held against its configuration before anything is computed.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from .. import checkpoint, text
from ..arguments import check_whole
from ..blocks import tables
from ..blocks.kv_cache import ContextError
from ..generate import Randomness, Reading, Settings, Watch
from ..metrics.surprise import perplexity, surprise
from ..models import fields
from ..models.decoders import DECODERS, Decoder
from ..models.inputs import check_ids, check_mask
from ..quantize import formats
from .generation import read_generation
from .reading import (
    CHARACTERS_PER_TOKEN,
    answered,
    check_last,
    finite,
    joined,
    one_answer,
    read_prompt,
)

NEW_TOKENS = 64
WINDOW = 1024  # tokens whose scores are held at once: of Qwen2's, 620 MB

# Tensors that a published file may hold and that say nothing the configuration doesn't.
UNUSED = ("*.rotary_emb.inv_freq",)


class LanguageModel:
    """A decoder with its weights, and the tokenizer beside them."""

    def __init__(
        self,
        decoder: Decoder,
        config,
        weights,
        directory=None,
        stop_ids=(),
        settings=None,
    ):
        self.decoder, self.config = decoder, config
        self.weights, self.directory = weights, directory
        self.stop_ids = frozenset(stop_ids)
        self.settings = Settings() if settings is None else settings

    @classmethod
    def open(
        cls, directory: Path, document: dict[str, Any], dtype=np.float32
    ) -> LanguageModel:
        """The model of a directory whose config.json says `document`."""
        decoder = DECODERS[document["model_type"]]
        build = decoder.config.from_json
        config = fields.built(directory / "config.json", document, build)
        weights = decoder.canonical(formats.load(directory, document, dtype))
        tied = config.tie_word_embeddings and decoder.head not in weights
        expected = decoder.expected_shapes(config, tied)
        checkpoint.expect(weights, expected, ignore=UNUSED)
        said = read_generation(directory, document)
        return cls(decoder, config, weights, directory, *said)

    @cached_property
    def tokenizer(self) -> text.Tokenizer:
        """The tokenizer, by the directory's own files."""
        return text.load_tokenizer(self.directory)

    def logits(self, input_ids, attention_mask=None) -> np.ndarray:
        """Scores of every next token, (b, tokens, vocabulary).

        input_ids (b, t); attention_mask (b, t), of booleans or of 0 and 1, 0 where a
        row pads. Oracle: transformers.AutoModelForCausalLM.
        """
        ids, mask = self._check(input_ids, attention_mask)
        with np.errstate(all="ignore"):  # what is not finite is refused
            hidden = self.decoder.forward(
                self._embedded(ids),
                self.weights.scope(self.decoder.scope),
                self.config,
                mask,
            )
            scores = self.decoder.logits(hidden, self.weights)
        return finite(scores, self.weights)

    def stream(
        self,
        input_ids,
        max_new_tokens: int,
        attention_mask=None,
        rng: Randomness | None = None,
        watch: Watch | None = None,
        **options,
    ) -> Iterator[np.ndarray]:
        """The new ids (b * num_return_sequences,) one at a time, with a cache.

        `options` are those of `generate.Settings`, on top of the checkpoint's own:
        greedy where neither says another. Draws come from `rng`, one generator or one
        for each row, else from fresh randomness.
        """
        check_whole("generate", max_new_tokens=max_new_tokens)
        settings = self.settings.given(**options)
        ids, mask = self._check(input_ids, attention_mask, max_new_tokens)
        check_last(mask)

        return answered(
            partial(self._read, ids, mask, max_new_tokens),
            prompts=len(ids),
            max_new_tokens=max_new_tokens,
            stop_ids=self.stop_ids,
            settings=settings,
            rng=rng,
            watch=watch,
        )

    def reading(self, input_ids, max_new_tokens: int, attention_mask=None) -> Reading:
        """The prompt, read: scores behind it, and how to go on by a rule of one's own.

        `generate.decode(reading.logits, reading.step, n, lm.stop_ids, choose)`.
        """
        check_whole("reading", max_new_tokens=max_new_tokens)
        ids, mask = self._check(input_ids, attention_mask, max_new_tokens)
        check_last(mask)
        return self._read(ids, mask, max_new_tokens)

    def _read(self, ids, mask, max_new_tokens):
        return read_prompt(
            self.decoder,
            self.weights,
            self.config,
            embeddings=self._embedded(ids),
            prompt=ids,
            mask=mask,
            new_tokens=max_new_tokens,
        )

    def generate(
        self,
        input_ids,
        max_new_tokens: int,
        attention_mask=None,
        rng: Randomness | None = None,
        watch: Watch | None = None,
        **options,
    ) -> np.ndarray:
        """The new ids only, (b * num_return_sequences, new), up to a stop id (kept) or
        the limit; greedy, or as `options` say, see `stream`.

        Rows that have stopped are filled up with their stop id. Shorter prompts are
        padded on the left, and each row says what it says alone.
        Oracle: transformers' generate.
        """
        asked = input_ids, max_new_tokens, attention_mask
        steps = self.stream(*asked, rng, watch, **options)
        return joined(steps, len(input_ids), self.settings.given(**options))

    def complete_stream(
        self,
        prompt: str,
        max_new_tokens: int = NEW_TOKENS,
        rng: Randomness | None = None,
        watch: Watch | None = None,
        **options,
    ) -> Iterator[tuple[int, str]]:
        """Yield (id, text) as the continuation comes; a text may be empty."""
        options = one_answer("complete", options)
        before = self.prompt_ids(prompt)
        decoder = text.StreamDecoder(self.tokenizer, markers=False, before=before)
        ids = np.array([before])
        steps = self.stream(ids, max_new_tokens, rng=rng, watch=watch, **options)
        for (new,) in steps:
            yield int(new), decoder.add(int(new))
        yield -1, decoder.finish()

    def complete(
        self,
        prompt: str,
        max_new_tokens: int = NEW_TOKENS,
        rng: Randomness | None = None,
        **options,
    ) -> str:
        """The text that follows a text, without it. `options` as for `generate`."""
        asked = prompt, max_new_tokens
        pieces = self.complete_stream(*asked, rng=rng, **options)
        return "".join(piece for _, piece in pieces)

    def prompt_ids(self, prompt: str) -> list[int]:
        """A text as ids, behind what the tokenizer's own file puts before every text.

        No text becomes a marker. An empty text needs such a beginning, or nothing
        would be there to go on from.
        """
        context = self.config.context
        if isinstance(prompt, str) and len(prompt) > CHARACTERS_PER_TOKEN * context:
            raise ContextError(
                f"a text of {len(prompt):,} characters is too long for this model's "
                f"context of {context} tokens: shorten it"
            )
        ids = self._ids(prompt)
        if not ids:
            raise ValueError(
                "the text is empty, and this tokenizer has no token for a beginning: "
                "give a text to go on from"
            )
        return ids

    def _ids(self, prompt):
        before, _ = self.tokenizer.frame
        ids = [*before, *self.tokenizer.encode(prompt, markers=False)]
        if max(ids, default=0) >= self.config.vocab_size:
            raise text.TokenizerError(
                f"{self.directory}: the tokenizer makes the id {max(ids)}, but the "
                f"model's vocabulary ends at {self.config.vocab_size - 1}: they are of "
                "different checkpoints"
            )
        return ids

    def surprise(self, some: str, progress=None) -> np.ndarray:
        """Nats by which each token of a text but the first surprises, (tokens - 1,).

        Their mean is the loss. A text longer than the context, or than 1,024 tokens, is
        read in windows that overlap by half; see `metrics.surprise`.
        """
        ids, window = np.array(self._ids(some)), min(self.config.context, WINDOW)
        return surprise(self.logits, ids, window, progress)

    def perplexity(self, some: str) -> float:
        r"""Among how many equally likely tokens the model might be guessing,
        $\exp(-\frac1n \sum_t \log P(y_t \mid y_{<t}))$, of a text."""
        return perplexity(self.surprise(some))

    def _embedded(self, ids):
        return tables.look_up(ids, self.weights, self.decoder.embedding)

    def _check(self, input_ids, attention_mask, new_tokens=0):
        ids = check_ids(input_ids, self.config.vocab_size)
        mask = None if attention_mask is None else check_mask(attention_mask, ids)
        self.decoder.check_context(self.config, ids.shape[1] + new_tokens)
        return ids, mask
