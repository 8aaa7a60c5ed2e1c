"""Families of tokenizers whose files say what the tokens are, and little else.

`vocab.json` with `merges.txt` say which pairs are merged, and not how a text is cut
before: Qwen2, GPT-2 and CLIP have the same files and other ids. `vocab.txt` has BERT's
pieces of words, one in a line. `tokenizer_config.json` says which it is, by the name of
the class in transformers that wrote them; where it names none, `config.json` beside it
says which model the tokenizer is of. What is made here is the object in the
`tokenizer.json` that such a directory lacks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from .bpe.byte_level import BYTE_OF
from .bpe.byte_level_bpe import GPT2BPE
from .bpe.clip_bpe import CLIPBPE, END, START, WORD_END
from .bpe.description import describe
from .description import Document, framing
from .errors import TokenizerError
from .word_piece.word_piece import NORMALIZER, UNKNOWN, WordPiece

Pairs = Iterable[tuple[str, str]]

ROLES = ("bos", "eos", "unk", "pad")


def qwen2(vocabulary: Mapping[str, int], merges: Pairs, config: Mapping) -> Document:
    """Oracle: transformers.Qwen2Tokenizer."""
    return describe(vocabulary, merges, _markers(vocabulary, config))


def gpt2(vocabulary: Mapping[str, int], merges: Pairs, config: Mapping) -> Document:
    """No normal form, and GPT-2's own cut, which the byte-level step has built in.

    Oracle: transformers.GPT2Tokenizer.
    """
    spaced = config.get("add_prefix_space") is True
    markers = _markers(vocabulary, config)
    return GPT2BPE(vocabulary, merges, markers, spaced).describe()


def clip(vocabulary: Mapping[str, int], merges: Pairs, config: Mapping) -> Document:
    """Small letters, single spaces, a mark at the end of each word, and a frame.

    Oracle: transformers.CLIPTokenizer.
    """
    names = _frame(config)
    markers = tuple(dict.fromkeys(names))
    described = CLIPBPE(vocabulary, merges, markers).describe()
    model = {**described["model"], "unk_token": names[1]}
    ends = [(name, vocabulary[name]) for name in names]
    return {**described, "post_processor": framing(*ends), "model": model}


def bert(vocabulary: Mapping[str, int], config: Mapping) -> Document:
    """Pieces of words, in the frame [CLS] text [SEP].

    Oracle: transformers.BertTokenizer.
    """
    chosen = {
        option: config.get(name, NORMALIZER[option])
        for option, name in BERT_OPTIONS.items()
    }
    unknown = _name(config, "unk_token", UNKNOWN)
    names = {
        role: _name(config, f"{role}_token", f"[{role.upper()}]")
        for role in ("pad", "cls", "sep", "mask")
    }
    described = WordPiece(
        vocabulary,
        [name for name in (unknown, *names.values()) if name in vocabulary],
        normalizer={**NORMALIZER, **chosen},
        unknown=unknown,
    ).describe()
    ends = [(names[role], vocabulary[names[role]]) for role in ("cls", "sep")]
    return {**described, "post_processor": framing(*ends)}


FAMILIES: dict[str, Callable[..., Document]] = {
    "Qwen2Tokenizer": qwen2,
    "GPT2Tokenizer": gpt2,
    "CLIPTokenizer": clip,
}
BERT_OPTIONS = {
    "lowercase": "do_lower_case",
    "strip_accents": "strip_accents",
    "handle_chinese_chars": "tokenize_chinese_chars",
}
UNSAID = ("None", "PreTrainedTokenizer", "TokenizersBackend")  # no family's name
MODELS = {  # of a config.json, and the class that its model's tokenizer is of
    "gpt2": "GPT2Tokenizer",
    "qwen2": "Qwen2Tokenizer",
    "fast_vlm": "Qwen2Tokenizer",
    "llava_qwen2": "Qwen2Tokenizer",
    "clip": "CLIPTokenizer",
    "clip_text_model": "CLIPTokenizer",
    "bert": "BertTokenizer",
    "blip": "BertTokenizer",
    "distilbert": "BertTokenizer",
    "electra": "BertTokenizer",
}


def family(
    directory: Path,
    vocabulary: Mapping[str, int],
    config: Mapping,
    model: Mapping = MappingProxyType({}),
) -> Callable[..., Document]:
    """The rules by which a directory's vocabulary is used.

    `config` is what tokenizer_config.json says, `model` what config.json does. Where
    both are silent, CLIP's is known by its word ends, and no other by anything: from
    the files of GPT-2, Qwen2's rules would make ids that were never meant.
    """
    said, name = _said(config, model)
    ends = any(token.endswith(WORD_END) for token in vocabulary)
    if name is None:
        if not ends:
            raise TokenizerError(
                f"{directory}: vocab.json and merges.txt do not say how a text is cut, "
                f"and {said}: download tokenizer_config.json and config.json too"
            )
        name = "CLIPTokenizer"
    if name == "CLIPTokenizer":
        _check_clip(directory, vocabulary, config)
    if name not in FAMILIES or (ends and name != "CLIPTokenizer"):
        raise TokenizerError(
            f"{directory}: {said}, "
            f"{'which has no word ends' if name in FAMILIES else 'unknown here'}: "
            "vocab.json and merges.txt alone do not say how such a tokenizer cuts a "
            f"text. {rewritten(directory)}"
        )
    return FAMILIES[name]


def check_bert(
    directory: Path,
    vocabulary: Mapping[str, int],
    config: Mapping,
    model: Mapping = MappingProxyType({}),
) -> None:
    """Refuse a `vocab.txt` that is not BERT's, as far as can be seen."""
    said, name = _said(config, model)
    if name not in ("BertTokenizer", None):
        raise TokenizerError(
            f"{directory}: {said}, unknown here: vocab.txt alone does not say how such "
            f"a tokenizer cuts a text. {rewritten(directory)}"
        )
    for role in ("unk", "cls", "sep"):
        name = _name(config, f"{role}_token", f"[{role.upper()}]")
        if name not in vocabulary:
            raise TokenizerError(
                f"{directory}: vocab.txt has no {name!r:.60}, without which it is not "
                "BERT's: the files are of different checkpoints"
            )


def rewritten(directory: Path, with_packages: str = "") -> str:
    """How to come by the file that says everything."""
    name = str(directory)
    return (
        f"transformers{with_packages} writes the tokenizer.json that does: "
        f"AutoTokenizer.from_pretrained({name!r}).save_pretrained({name!r})"
    )


def _said(config, model):
    """(what the files say of the family, the class that this means or None)."""
    for file, named in (
        ("tokenizer_config.json", config.get("tokenizer_class")),
        ("config.json", model.get("tokenizer_class")),
    ):
        name = str(named).removesuffix("Fast")
        if name not in UNSAID:
            return f"{file} says {named!r:.60}", name
    kind = model.get("model_type")
    if kind is None:
        return "neither tokenizer_config.json nor config.json says it", None
    return f"config.json says {kind!r:.60}", MODELS.get(str(kind), "")


def _check_clip(directory, vocabulary, config):
    wanted = [*_frame(config), *(letter + WORD_END for letter in BYTE_OF)]
    absent = [token for token in wanted if token not in vocabulary]
    if absent:
        raise TokenizerError(
            f"{directory}: the vocabulary has no {absent[0]!r:.60}, without which it "
            "is not CLIP's, which it should be by what the other files say: the files "
            "are of different checkpoints"
        )


def _frame(config):
    """The markers before and after every text."""
    return _name(config, "bos_token", START), _name(config, "eos_token", END)


def _markers(vocabulary, config):
    """What transformers takes for a marker because the class or the file gives it a
    role, declared or not."""
    names = [END, *(_name(config, f"{role}_token", END) for role in ROLES)]
    return [name for name in dict.fromkeys(names) if name in vocabulary]


def _name(config, role, default):
    """A marker's name, which older files give as an object."""
    given = config.get(role)
    given = given.get("content") if isinstance(given, Mapping) else given
    return given if isinstance(given, str) else default
