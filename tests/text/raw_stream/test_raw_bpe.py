"""BPE on a raw stream against transformers' LLaMA."""

import json

import numpy as np
import pytest

from refvlm.text import RawStream, Tokenizer, learn_raw_bpe, save_tokenizer
from refvlm.text.engines.plain import PlainEngine
from refvlm.text.raw_stream.stream import SPELLED

from ...spec import oracle
from ..hard_texts import HARD
from .files import TEXTS

MARKERS = ["<unk>", "<s>", "</s>"]
ASKED = [*HARD.values(), *TEXTS, "<s>a</s> b<unk>", "a<s> b"]


@oracle
@pytest.mark.parametrize("legacy", [True, False])
def test_raw_stream_bpe_equals_transformers(tmp_path, compare, legacy):
    """LlamaTokenizer made of the same vocabulary and merges, and AutoTokenizer of the
    file that we save, with the mark in front and the text that comes back."""
    prefix = "always" if legacy else "first"
    stream = RawStream(prefix=prefix, cut=False, decoding=SPELLED)
    learnt = learn_raw_bpe(TEXTS, 520, MARKERS, stream)

    def ask(torch):
        import transformers

        made = transformers.LlamaTokenizer(
            vocab=learnt.known, merges=learnt.merges, legacy=legacy
        )
        save_tokenizer(tmp_path, Tokenizer.of(learnt, "ours"))
        saved = transformers.AutoTokenizer.from_pretrained(tmp_path)
        answers = {}
        for name, theirs in (("made", made), ("saved", saved)):
            rows = [
                theirs(text, add_special_tokens=False)["input_ids"] for text in ASKED
            ]
            decoded = "\0".join(theirs.decode(row) for row in rows)
            answers[f"{name}.ids"] = np.array(
                [i for row in rows for i in row], np.int64
            )
            answers[f"{name}.text"] = np.frombuffer(decoded.encode(), np.uint8)
        text = made.backend_tokenizer.to_str()
        again = Tokenizer(PlainEngine(json.loads(text), "transformers' file"))
        assert [again.encode(text) for text in ASKED] == list(map(learnt.encode, ASKED))
        return answers

    answers = compare.answers(ask, (ASKED, learnt.describe()))
    rows = [learnt.encode(text) for text in ASKED]
    flat = [i for row in rows for i in row]
    decoded = "\0".join(map(learnt.decode, rows))
    for name in ("made", "saved"):
        assert flat == answers[f"{name}.ids"].tolist()
        assert decoded.encode() == answers[f"{name}.text"].tobytes()
