"""Post-processors: the ids before and after every text."""

import json

import pytest
from tokenizers import Tokenizer, models, processors

from refvlm.text import TokenizerError
from refvlm.text.engines.frames import read_frame

from ...spec import contract, example, oracle


@example
def test_read_frame_of_bert():
    """[CLS] text [SEP], named with their ids."""
    post = {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}
    assert read_frame(post, "here") == ([2], [3])
    assert read_frame(None, "here") == ([], [])


@oracle
def test_read_frame_as_the_library_puts_it():
    """What the library writes, and what it then puts around a text."""
    names = ("<text>", "[CLS]", "[SEP]", "[X]")
    vocabulary = {name: number for number, name in enumerate(names)}
    specials = [(name, number) for name, number in vocabulary.items() if number]
    for post in (
        processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1)),
        processors.TemplateProcessing(
            single="[X] [CLS] $A [SEP]", pair=None, special_tokens=specials
        ),
        processors.RobertaProcessing(("[SEP]", 2), ("[X]", 3)),
        processors.TemplateProcessing(single="$A [SEP]", special_tokens=specials),
        processors.Sequence(  # as LLaMA-3 has it
            [
                processors.ByteLevel(trim_offsets=False),
                processors.TemplateProcessing(single="[X] $A", special_tokens=specials),
            ]
        ),
        processors.Sequence(
            [processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))]
            + [processors.ByteLevel()] * 2
        ),
        processors.Sequence([processors.ByteLevel()]),
        processors.Sequence([]),
    ):
        backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<text>"))
        backend.post_processor = post
        before, after = read_frame(json.loads(backend.to_str())["post_processor"], "h")
        assert backend.encode("<text>").ids == [*before, 0, *after]


BERT = {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}


@contract
@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([BERT, BERT], "which takes the tokenizers library"),
        ([{"type": "Sequence", "processors": [BERT]}], "which takes the tokenizers"),
        ([BERT, {"type": "Other"}], "post_processor is 'Other', which takes the tok"),
        ([BERT, 7], "its 'type' is None, where the format has a text"),
        ({}, "its 'processors' is {}, where the format has a list"),
    ],
)
def test_read_frame_refuses_a_sequence_it_would_misread(steps, said):
    """Two frames around a text, a sequence within one, a step that is none."""
    with pytest.raises(TokenizerError, match=f"^here: .*{said}"):
        read_frame({"type": "Sequence", "processors": steps}, "here")
