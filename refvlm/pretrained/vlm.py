"""A model that sees and speaks: `vlm = refvlm.load("FastVLM-0.5B")`.

    vlm.logits(pixel_values, input_ids)            # (b, tokens, vocabulary)
    vlm.generate(pixel_values, input_ids, 20)      # (b, 20): the new ids only
    vlm.describe("photo.jpg", "What is this?")     # text
    vlm.answers(["a.jpg", "b.jpg"], ["Where?"] * 2)  # a text for each
    vlm.replies(["a.jpg", "b.jpg"], ["Where?"] * 2)  # (text, confidence) for each

The directory is Hugging Face's or Apple's, as downloaded: `config.json`, safetensors,
a tokenizer and a preprocessor. Its tensors are held against its configuration before
anything is computed; nothing is fetched from a network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import checkpoint, image, ops, text
from ..arguments import check_whole, is_whole, several
from ..autodiff import value_of
from ..blocks.kv_cache import ContextError
from ..generate import Confidence, decode, greedy
from ..models import fastvlm, fields, qwen2
from ..models.dialects import canonical
from ..models.fastvithd import Progress, prepare, trace_pieces
from ..models.fastvlm_inputs import LARGEST_PIXEL, check_inputs

ANSWERS_AT_ONCE = 64
CHARACTERS_PER_TOKEN = 32  # four are usual; far more are not worth cutting into tokens

# Tensors that a published file may hold and inference has no use for.
UNUSED = ("*.num_batches_tracked", "*.rotary_emb.inv_freq", f"{fastvlm.TOWER}.head.*")


class Reply(NamedTuple):
    """What was said, and how likely the least likely of its tokens was."""

    text: str
    confidence: float


class VLM:
    """A model with its weights, and the tokenizer and preprocessor beside them."""

    def __init__(self, config, weights, directory=None, stop_ids=()):
        self.config, self.weights, self.directory = config, weights, directory
        self.stop_ids = frozenset(stop_ids)

    @classmethod
    def open(cls, directory: Path, document: dict[str, Any], dtype=np.float32) -> VLM:
        """The model of a directory whose config.json says `document`."""
        build = fastvlm.FastVLMConfig.from_json
        config = fields.built(directory / "config.json", document, build)
        weights = canonical(checkpoint.load(directory, dtype=dtype))
        tied = config.text.tie_word_embeddings and fastvlm.HEAD not in weights
        expected = fastvlm.expected_shapes(config, tied)
        checkpoint.expect(weights, expected, ignore=UNUSED)
        with np.errstate(all="ignore"):  # what is not finite is refused
            weights = prepare(weights, config.vision, fastvlm.TOWER)
        return cls(config, weights, directory, _stop_ids(directory, document))

    @cached_property
    def tokenizer(self) -> text.Tokenizer:
        """The tokenizer, once its chat template is known to be ChatML."""
        tokenizer = text.load_tokenizer(self.directory)
        text.recognize_template(self.directory, tokenizer)
        return tokenizer

    @cached_property
    def preprocessor(self) -> image.Preprocessor:
        """The steps from a picture to pixel_values, by the checkpoint's own files."""
        steps = image.read_preprocessor(self.directory)
        ends = steps.values(np.array([[[0] * 3, [255] * 3]], np.uint8))
        if not np.abs(ends).max() <= LARGEST_PIXEL:
            raise checkpoint.CheckpointError(
                f"{self.directory}: its preprocessor makes {ends.min():g} to "
                f"{ends.max():g} of black and white, which no model is trained on: its "
                "configuration is damaged, or another model's"
            )
        return steps

    def logits(self, pixel_values, input_ids, attention_mask=None) -> np.ndarray:
        """Scores of every next token, (b, tokens, vocabulary).

        pixel_values (n, 3, h, w), floating, or None; input_ids (b, t), where a picture
        is one -200 or the checkpoint's image token repeated; attention_mask (b, t), of
        booleans or of 0 and 1. Lists will do, and pixels of another precision.
        """
        given = self._check(pixel_values, input_ids, attention_mask)
        with np.errstate(all="ignore"):
            scores = fastvlm.fastvlm(
                given.pixels, given.ids, self.weights, self.config, given.mask
            )
        return self._finite(scores)

    def stream(
        self,
        pixel_values,
        input_ids,
        max_new_tokens: int,
        attention_mask=None,
        progress: Progress | None = None,
        choose: Callable = greedy,
    ) -> Iterator[np.ndarray]:
        """The new ids (b,) one at a time, greedily, with a cache.

        What is given is checked at once; the picture is looked at when the first id is
        asked for, and `progress(done, blocks)` is called after each block of the tower.
        `choose(logits)` makes ids of scores.
        """
        check_whole("generate", max_new_tokens=max_new_tokens)
        given = self._check(pixel_values, input_ids, attention_mask, max_new_tokens)
        if given.mask is not None and not given.mask[:, -1].all():
            raise ValueError(
                "attention_mask hides the last token of a row, which the answer would "
                "follow: pad shorter prompts on the left"
            )
        return self._stream(given, max_new_tokens, progress, choose)

    def _stream(self, given, max_new_tokens, progress, choose):
        ids, mask, seen = given.ids, given.mask, None
        if given.pixels is not None:
            with np.errstate(all="ignore"):
                seen = fastvlm.encode_image(
                    given.pixels, self.weights, self.config, progress
                )
            ids, mask = fastvlm.make_room(ids, seen.shape[1], mask)
        embeddings = fastvlm.embed(ids, seen, self.weights, self.config)
        room = ids.shape[1] + max_new_tokens
        cache = qwen2.new_cache(self.config.text, len(ids), room, embeddings.dtype)
        if mask is not None:  # what is answered counts
            mask = np.pad(mask, ((0, 0), (0, max_new_tokens)), constant_values=True)

        @np.errstate(all="ignore")
        def step(embeddings):
            upto = cache.length + embeddings.shape[1]
            hidden = qwen2.qwen2(
                embeddings,
                self.weights.scope(fastvlm.DECODER),
                self.config.text,
                None if mask is None else mask[:, :upto],
                cache,
                last=1,
            )
            return self._finite(fastvlm.head(hidden, self.weights)[:, 0])

        def next_token(ids):
            # Looked up, not spliced: a model may say its own image token.
            table = self.weights[fastvlm.EMBEDDING]
            return step(ops.embedding(ids[:, None], table))

        scores = step(embeddings)
        yield from decode(scores, next_token, max_new_tokens, self.stop_ids, choose)

    def generate(
        self,
        pixel_values,
        input_ids,
        max_new_tokens: int,
        attention_mask=None,
        choose: Callable = greedy,
    ) -> np.ndarray:
        """The new ids only, (b, new): greedy, up to a stop id (kept) or the limit."""
        given = pixel_values, input_ids, max_new_tokens, attention_mask
        steps = self.stream(*given, choose=choose)
        new = [ids[:, None] for ids in steps]
        return np.concatenate([np.empty((len(input_ids), 0), np.int64), *new], axis=1)

    def prompt_ids(self, prompt: str) -> np.ndarray:
        """The question in the checkpoint's chat frame, with -200 for the picture."""
        if not isinstance(prompt, str):
            raise ValueError(f"a prompt is a text, not {type(prompt).__name__}")
        context = self.config.text.max_position_embeddings
        if len(prompt) > CHARACTERS_PER_TOKEN * context:
            raise ContextError(
                f"a prompt of {len(prompt):,} characters is too long for this model's "
                f"context of {context} tokens: shorten it"
            )
        ids = text.encode_chat(self.tokenizer, prompt, fastvlm.IMAGE)
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
        prompt: str = text.DESCRIBE,
        max_new_tokens: int = 256,
        progress: Progress | None = None,
        choose: Callable = greedy,
    ) -> Iterator[tuple[int, str]]:
        """Yield (id, text) as the answer comes; a text may be empty or end a word."""
        ids = self.prompt_ids(prompt)
        pixels = self.preprocessor(picture)[None]
        decoder = text.StreamDecoder(self.tokenizer, markers=False)
        given = pixels, ids, max_new_tokens
        for (new,) in self.stream(*given, progress=progress, choose=choose):
            yield int(new), decoder.add(int(new))
        yield -1, decoder.finish()

    def describe(
        self, picture, prompt: str = text.DESCRIBE, max_new_tokens: int = 256
    ) -> str:
        """What the model says about a picture: a path, a stream, bytes or an array."""
        pieces = self.describe_stream(picture, prompt, max_new_tokens)
        return "".join(piece for _, piece in pieces).strip()

    def answers(self, pictures, prompts, max_new_tokens: int = 96) -> list[str]:
        """An answer to each prompt about the picture beside it, in batches.

        Prompts of the same length are answered together; a picture may be any source,
        and pictures and prompts are any lists of one length.
        """
        replies = self._replies("answers", pictures, prompts, max_new_tokens)
        return [said.text for said in replies]

    def replies(self, pictures, prompts, max_new_tokens: int = 96) -> list[Reply]:
        """The same answers, each with how sure the model was of it."""
        return self._replies("replies", pictures, prompts, max_new_tokens)

    def _replies(self, function, pictures, prompts, max_new_tokens) -> list[Reply]:
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
                    choose=confidence,
                )
                for i, row, least in zip(some, new, confidence.least):
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
        pixels = self.preprocessor(picture)[None]
        ids = np.append(self.prompt_ids(prompt), np.array([answer], np.int64), 1)
        given = self._check(pixels, ids, None)
        seen = fastvlm.encode_image(given.pixels, self.weights, self.config)
        ids, _ = fastvlm.make_room(given.ids, seen.shape[1])
        watch: list[np.ndarray] = []
        qwen2.qwen2(
            fastvlm.embed(ids, seen, self.weights, self.config),
            self.weights.scope(fastvlm.DECODER),
            self.config.text,
            watch=watch,
        )
        places = fastvlm.image_places(ids, self.config)[0]
        mean = np.mean([weights[0] for weights in watch], axis=(0, 1))
        looked = mean[-len(answer) - 1 : -1, places]
        _, rows, columns = trace_pieces(self.config.vision, *pixels.shape[2:])[-1].shape
        return looked.reshape(-1, rows, columns)

    def _spoken(self, ids):
        """The text of new ids, up to the first that ends the answer."""
        ends = np.flatnonzero(np.isin(ids, list(self.stop_ids)))
        kept = ids[: ends[0]] if ends.size else ids
        return self.tokenizer.decode(kept.tolist(), markers=False).strip()

    def _check(self, pixel_values, input_ids, attention_mask, new_tokens=0):
        dtype = self.weights[f"{fastvlm.PROJECTOR}.linear_1.bias"].dtype
        given = pixel_values, input_ids, attention_mask
        return check_inputs(*given, self.config, dtype, new_tokens)

    def _finite(self, scores):
        if not np.isfinite(value_of(scores)).all():
            raise checkpoint.CheckpointError(
                f"{self.weights.origin}: the scores of the next token are not finite "
                "numbers: the weights are damaged, or too large for "
                f"{scores.dtype}"
            )
        return scores


def _stop_ids(directory, described):
    """The ids that end an answer: eos of generation_config.json, else config.json's."""
    path, generation = directory / "generation_config.json", {}
    if checkpoint.is_there(path):
        generation = checkpoint.read_json(path, fields.FILE_LIMIT)
    nested = described.get("text_config")
    for source in (generation, described, nested if isinstance(nested, dict) else {}):
        stops = source.get("eos_token_id")
        if stops is not None:
            stops = stops if isinstance(stops, list) else [stops]
            if not all(is_whole(stop) and 0 <= stop < 1 << 24 for stop in stops):
                raise checkpoint.CheckpointError(
                    f"{directory}: eos_token_id is {stops!r:.60}, but must be token ids"
                )
            return stops
    return []
