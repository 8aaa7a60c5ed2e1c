"""What a checkpoint says of its answers: where they end, and how they are chosen.

`generation_config.json` is honoured as transformers honours it: what it says is the
default, and a caller's own options win. What it asks for and nobody has written here is
refused by name, since without it the model would say something else. Where the file is
missing, config.json is asked. In two things we differ: how many tokens an answer may
have is the caller's to say, and max_length is not read; and where the file names no end
of an answer, config.json's is taken, without which it would go on to the limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .. import checkpoint
from ..arguments import is_whole
from ..generate import Settings
from ..models import fields

FILE = "generation_config.json"

# Rules of transformers that are not here, each with the values by which it rests.
RESTING: dict[str, tuple[Any, ...]] = {
    "typical_p": (1.0,),
    "epsilon_cutoff": (0.0,),
    "eta_cutoff": (0.0,),
    "top_h": (),
    "guidance_scale": (1.0,),
    "penalty_alpha": (0.0,),
    "diversity_penalty": (0.0,),
    "num_beam_groups": (1,),
    "encoder_repetition_penalty": (1.0,),
    "encoder_no_repeat_ngram_size": (0,),
    "min_length": (0,),
    "sequence_bias": ({}, []),
    "bad_words_ids": ([],),
    "force_words_ids": ([],),
    "constraints": ([],),
    "forced_bos_token_id": (),
    "forced_eos_token_id": (),
    "suppress_tokens": ([],),
    "begin_suppress_tokens": ([],),
    "exponential_decay_length_penalty": (),
    "remove_invalid_values": (False,),
    "renormalize_logits": (False,),
    "watermarking_config": (),
    "stop_strings": ([],),
    "token_healing": (False,),
    "max_time": (),
    "dola_layers": (),
    "prompt_lookup_num_tokens": (),
}


def read_generation(
    directory: Path, described: Mapping[str, Any]
) -> tuple[frozenset[int], Settings]:
    """(the ids that end an answer, the settings) of a directory whose config.json says
    `described`, which names the ids where generation_config.json does not."""
    path = directory / FILE
    if checkpoint.is_there(path):
        generation = checkpoint.read_json(path, fields.FILE_LIMIT)
    else:  # older checkpoints say it among the sizes of the model
        path, nested = directory / "config.json", described.get("text_config")
        generation = {**(nested if isinstance(nested, dict) else {}), **described}
    for name, resting in RESTING.items():
        value = generation.get(name)
        if value is not None and value not in resting:
            raise fields.ConfigError(
                f"{path}: {name} is {value!r:.60}, which is not implemented: take it "
                "out of the file to go without it"
            )
    try:
        settings = Settings.of(generation)
    except ValueError as error:
        raise fields.ConfigError(f"{path}: {error}") from None
    return _stop_ids(directory, generation, described), settings


def _stop_ids(directory, generation, described):
    """eos_token_id of generation_config.json, else config.json's, else its text's."""
    nested = described.get("text_config")
    for source in (generation, described, nested if isinstance(nested, dict) else {}):
        stops = source.get("eos_token_id")
        if stops is not None:
            stops = stops if isinstance(stops, list) else [stops]
            if not all(is_whole(stop) and 0 <= stop < 1 << 24 for stop in stops):
                raise checkpoint.CheckpointError(
                    f"{directory}: eos_token_id is {stops!r:.60}, but must be token ids"
                )
            return frozenset(stops)
    return frozenset()
