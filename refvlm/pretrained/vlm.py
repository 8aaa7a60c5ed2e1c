"""A model that sees and speaks: `vlm = refvlm.load("FastVLM-0.5B")`.

    vlm.features(pixel_values)                     # (n, m, width): what it has seen
    vlm.logits(pixel_values, input_ids)            # (b, tokens, vocabulary)
    vlm.generate(pixel_values, input_ids, 20)      # (b, 20): the new ids only
    vlm.describe("photo.jpg", "What is this?")     # text
    vlm.answers(["a.jpg", "b.jpg"], ["Where?"] * 2)  # a text for each
    vlm.replies(["a.jpg", "b.jpg"], ["Where?"] * 2)  # (text, confidence) for each

The directory is Hugging Face's or Apple's, as downloaded: `config.json`, safetensors,
a tokenizer and a preprocessor. Its tensors are held against its configuration before
anything is computed; nothing is fetched from a network. What differs between families
is a row of `seers.SEERS`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from .. import checkpoint, image, text
from ..arguments import check_whole, several
from ..blocks import tables
from ..blocks.kv_cache import ContextError
from ..generate import Confidence, Randomness, Reading, Settings, Watch
from ..generate.demands import check_rng
from ..models import fields
from ..models.fastvithd import Progress
from ..models.vlm_inputs import check_pixels
from ..quantize import formats
from .generation import read_generation
from .preprocessing import read_steps
from .reading import (
    CHARACTERS_PER_TOKEN,
    Reply,
    answered,
    check_answer,
    check_last,
    finite,
    joined,
    one_answer,
    read_prompt,
)
from .seers import FASTVLM, SEERS, Frame, Seer

ANSWERS_AT_ONCE = 64


class VLM:
    """A model with its weights, and the tokenizer and preprocessor beside them."""

    def __init__(
        self,
        config,
        weights,
        directory=None,
        stop_ids=(),
        settings=None,
        family: Seer = FASTVLM,
    ):
        self.config, self.weights, self.directory = config, weights, directory
        self.stop_ids = frozenset(stop_ids)
        self.settings = Settings() if settings is None else settings
        self.family = family

    @classmethod
    def open(cls, directory: Path, document: dict[str, Any], dtype=np.float32) -> VLM:
        """The model of a directory whose config.json says `document`."""
        family = SEERS[document["model_type"]]
        build = family.config.from_json
        config = fields.built(directory / "config.json", document, build)
        weights = family.canonical(formats.load(directory, document, dtype))
        tied = config.text.tie_word_embeddings and family.decoder.head not in weights
        expected = family.expected_shapes(config, tied)
        checkpoint.expect(weights, expected, ignore=family.unused)
        with np.errstate(all="ignore"):  # what is not finite is refused
            weights = family.prepare(weights, config)
        stop_ids, settings = read_generation(directory, document)
        if family.ends is not None:
            stop_ids = family.ends(config)
        return cls(config, weights, directory, stop_ids, settings, family)

    @cached_property
    def _speech(self) -> tuple[text.Tokenizer, Frame]:
        tokenizer = text.load_tokenizer(self.directory)
        return tokenizer, self.family.frame(self.directory, tokenizer)

    @property
    def tokenizer(self) -> text.Tokenizer:
        """The tokenizer, once the frame around a question is known here."""
        return self._speech[0]

    @cached_property
    def preprocessor(self) -> image.Preprocessor:
        """The steps from a picture to pixel_values, by the checkpoint's own files."""
        return read_steps(self.directory)

    def features(self, pixel_values) -> np.ndarray:
        """What the decoder is given of pictures: (n, 3, h, w) -> (n, m, width), m
        tokens that are spliced into its text or looked at from the side."""
        pixels = check_pixels(pixel_values, self.weights[self.family.computing].dtype)
        self.family.image_grid(self.config, *pixels.shape[2:])  # or it can't be seen
        with np.errstate(all="ignore"):  # what is not finite is refused
            seen = self.family.encode_image(pixels, self.weights, self.config)
        return finite(seen, self.weights, "features of the pictures")

    def logits(self, pixel_values, input_ids, attention_mask=None) -> np.ndarray:
        """Scores of every next token, (b, tokens, vocabulary).

        pixel_values (n, 3, h, w), floating, or None; input_ids (b, t), where a picture
        is one -200 or the checkpoint's image token repeated; attention_mask (b, t), of
        booleans or of 0 and 1. Lists will do, and pixels of another precision.
        """
        given = self._check(pixel_values, input_ids, attention_mask)
        with np.errstate(all="ignore"):
            read = self._join(given)
            hidden = read.decoder.forward(
                read.embeddings,
                self.weights.scope(read.decoder.scope),
                self.config.text,
                read.mask,
            )
            scores = read.decoder.logits(hidden, self.weights)
        return finite(scores, self.weights)

    def stream(
        self,
        pixel_values,
        input_ids,
        max_new_tokens: int,
        attention_mask=None,
        progress: Progress | None = None,
        rng: Randomness | None = None,
        watch: Watch | None = None,
        **options,
    ) -> Iterator[np.ndarray]:
        """The new ids (b * num_return_sequences,) one at a time, with a cache.

        `options` are those of `generate.Settings`, on top of the checkpoint's own:
        greedy where neither says another. What is given is checked at once; the picture
        is looked at when the first id is asked for, and `progress(done, blocks)` is
        called after each block of the tower. Draws come from `rng`, one generator or
        one for each row, else from fresh randomness. `watch(logits, ids)` sees each
        choice.
        """
        check_whole("generate", max_new_tokens=max_new_tokens)
        settings = self.settings.given(**options)
        given = self._check(pixel_values, input_ids, attention_mask, max_new_tokens)
        check_last(given.mask)

        return answered(
            partial(self._read, given, max_new_tokens, progress),
            prompts=len(given.ids),
            max_new_tokens=max_new_tokens,
            stop_ids=self.stop_ids,
            settings=settings,
            rng=rng,
            watch=watch,
        )

    def reading(
        self, pixel_values, input_ids, max_new_tokens: int, attention_mask=None
    ) -> Reading:
        """The prompt, read: scores behind it, and how to go on by a rule of one's own.

        `generate.decode(reading.logits, reading.step, n, vlm.stop_ids, choose)`.
        """
        check_whole("reading", max_new_tokens=max_new_tokens)
        given = self._check(pixel_values, input_ids, attention_mask, max_new_tokens)
        check_last(given.mask)
        return self._read(given, max_new_tokens)

    def _read(self, given, max_new_tokens, progress=None):
        return self._read_joined(self._join(given, progress), max_new_tokens)

    def _read_joined(self, read, max_new_tokens, pause=None):
        return read_prompt(
            read.decoder,
            self.weights,
            self.config.text,
            embeddings=read.embeddings,
            prompt=read.prompt,
            mask=read.mask,
            new_tokens=max_new_tokens,
            pause=pause,
        )

    @np.errstate(all="ignore")  # what is not finite is refused, later
    def _join(self, given, progress=None):
        """What the decoder reads: the picture looked at, and joined to the ids."""
        seen = None
        if given.pixels is not None:
            seen = self.family.encode_image(
                given.pixels, self.weights, self.config, progress
            )
        return self.family.join(given.ids, seen, given.mask, self.weights, self.config)

    def generate(
        self,
        pixel_values,
        input_ids,
        max_new_tokens: int,
        attention_mask=None,
        rng: Randomness | None = None,
        watch: Watch | None = None,
        **options,
    ) -> np.ndarray:
        """The new ids only, (b * num_return_sequences, new), up to a stop id (kept) or
        the limit; greedy, or as `options` say, see `stream`.

        Rows that have stopped are filled up with their stop id.
        Oracle: transformers' generate.
        """
        given = pixel_values, input_ids, max_new_tokens, attention_mask
        steps = self.stream(*given, rng=rng, watch=watch, **options)
        return joined(steps, len(input_ids), self.settings.given(**options))

    def prompt_ids(self, prompt: str) -> np.ndarray:
        """The question in the checkpoint's chat frame, with -200 for the picture."""
        if not isinstance(prompt, str):
            raise ValueError(f"a prompt is a text, not {type(prompt).__name__}")
        context = self.config.text.context
        if len(prompt) > CHARACTERS_PER_TOKEN * context:
            raise ContextError(
                f"a prompt of {len(prompt):,} characters is too long for this model's "
                f"context of {context} tokens: shorten it"
            )
        _, frame = self._speech
        ids = frame(prompt)
        vocabulary = self.config.text.vocab_size
        if max(ids) >= vocabulary:
            raise text.TokenizerError(
                f"{self.directory}: the tokenizer makes the id {max(ids)}, but the "
                f"model's vocabulary ends at {vocabulary - 1}: they are of different "
                "checkpoints"
            )
        return np.array([ids])

    def describe_stream(
        self,
        picture,
        prompt: str | None = None,
        max_new_tokens: int = 256,
        progress: Progress | None = None,
        rng: Randomness | None = None,
        watch: Watch | None = None,
        **options,
    ) -> Iterator[tuple[int, str]]:
        """Yield (id, text) as the answer comes; a text may be empty or end a word."""
        options = one_answer("describe", options)
        prompt = self.family.request if prompt is None else prompt
        ids = self.prompt_ids(prompt)
        pixels = self.preprocessor(picture)[None]
        decoder = text.StreamDecoder(self.tokenizer, markers=False)
        steps = self.stream(
            pixels,
            ids,
            max_new_tokens,
            progress=progress,
            rng=rng,
            watch=watch,
            **options,
        )
        for (new,) in steps:
            yield int(new), decoder.add(int(new))
        yield -1, decoder.finish()

    def describe(
        self,
        picture,
        prompt: str | None = None,
        max_new_tokens: int = 256,
        rng: Randomness | None = None,
        **options,
    ) -> str:
        """What the model says about a picture: a path, a stream, bytes or an array.

        Without a prompt it is asked what its family is asked, `family.request`.
        `options` as for `generate`: `do_sample=True, temperature=0.8`, `num_beams=4`.
        """
        asked = picture, prompt, max_new_tokens
        pieces = self.describe_stream(*asked, rng=rng, **options)
        return "".join(piece for _, piece in pieces).strip()

    def answers(
        self,
        pictures,
        prompts,
        max_new_tokens: int = 96,
        rng: Randomness | None = None,
        **options,
    ) -> list[str]:
        """An answer to each prompt about the picture beside it, in batches.

        Prompts of the same length are answered together; a picture may be any source,
        and pictures and prompts are any lists of one length. `options` as for
        `generate`; `rng` may be a list of generators, one for each prompt.
        """
        asked = "answers", pictures, prompts, max_new_tokens
        return [said.text for said in self._replies(*asked, rng, options)]

    def replies(
        self,
        pictures,
        prompts,
        max_new_tokens: int = 96,
        rng: Randomness | None = None,
        **options,
    ) -> list[Reply]:
        """The same answers, each with how sure the model was of it: NaN where it chose
        no single token, as with beams."""
        asked = "replies", pictures, prompts, max_new_tokens
        return self._replies(*asked, rng, options)

    def _replies(
        self, function, pictures, prompts, max_new_tokens, rng, options
    ) -> list[Reply]:
        options = one_answer(function, options)
        self.settings.given(**options)  # what is impossible is told of no picture too
        check_whole(function, max_new_tokens=max_new_tokens)
        pictures = several(function, "pictures", pictures)
        prompts = several(function, "prompts", prompts)
        if len(pictures) != len(prompts):
            raise ValueError(
                f"{function}: pictures has {len(pictures)}, prompts {len(prompts)}, "
                "but each prompt has its picture beside it: repeat a picture that "
                "several ask about, [picture] * len(prompts)"
            )
        ids = [self.prompt_ids(prompt) for prompt in prompts]
        shown = {}
        for picture in pictures:
            if id(picture) not in shown:
                shown[id(picture)] = self.preprocessor(picture)
        pixels = [shown[id(picture)] for picture in pictures]
        if rng is not None:
            check_rng(function, rng, len(ids))
        shared = rng is None or isinstance(rng, np.random.Generator)
        said = [Reply("", 1.0)] * len(ids)
        for length in sorted({row.shape[1] for row in ids}):
            alike = [i for i, row in enumerate(ids) if row.shape[1] == length]
            for start in range(0, len(alike), ANSWERS_AT_ONCE):
                some = alike[start : start + ANSWERS_AT_ONCE]
                confidence = Confidence(self.stop_ids)
                new = self.generate(
                    np.stack([pixels[i] for i in some]),
                    np.concatenate([ids[i] for i in some]),
                    max_new_tokens,
                    rng=rng if shared else [rng[i] for i in some],
                    watch=confidence,
                    **options,
                )
                for i, row, least in zip(some, new, confidence.of(len(some))):
                    said[i] = Reply(self._spoken(row), float(least))
        return said

    def read(self, picture) -> np.ndarray:
        """The picture (h, w, 3), uint8, from whatever `describe` takes."""
        return image.load(picture)

    def attention(self, picture, prompt: str, answer: list[int]) -> np.ndarray:
        """Where the decoder looked when it said each id of an answer.

        (ids, rows, columns): the weights of the picture's tokens, averaged over layers
        and heads, at the position that the id was read from.
        """
        said = check_answer(answer, self.config.text.vocab_size)
        pixels = self.preprocessor(picture)[None]
        given = self._check(pixels, self.prompt_ids(prompt), None, len(said))
        read = self._join(given)
        # What was said stands for words, the image's token too: it shows no picture.
        words = tables.look_up(said[None], self.weights, read.decoder.embedding)
        watch: list[np.ndarray] = []
        read.decoder.forward(
            np.concatenate([read.embeddings, words], axis=1),
            self.weights.scope(read.decoder.scope),
            self.config.text,
            watch=watch,
        )
        mean = np.mean([weights[0] for weights in watch], axis=(0, 1))
        seen = np.flatnonzero(read.places[0])
        looked = mean[-len(said) - 1 : -1, seen]
        rows, columns = self.family.image_grid(self.config, *pixels.shape[2:])
        return looked.reshape(-1, rows, columns)

    def _spoken(self, ids):
        """The text of new ids, up to the first that ends the answer."""
        ends = np.flatnonzero(np.isin(ids, list(self.stop_ids)))
        kept = ids[: ends[0]] if ends.size else ids
        return self.tokenizer.decode(kept.tolist(), markers=False).strip()

    def _check(self, pixel_values, input_ids, attention_mask, new_tokens=0):
        dtype = self.weights[self.family.computing].dtype
        asked = pixel_values, input_ids, attention_mask
        given, tokens = self.family.check(*asked, self.config, dtype)
        self.family.decoder.check_context(self.config.text, tokens + new_tokens)
        return given
