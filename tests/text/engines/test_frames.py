"""Post-processors: the ids before and after every text."""

import json

from tokenizers import Tokenizer, models, processors

from refvlm.text.engines.frames import read_frame

from ...spec import example, oracle


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
    ):
        backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<text>"))
        backend.post_processor = post
        before, after = read_frame(json.loads(backend.to_str())["post_processor"], "h")
        assert backend.encode("<text>").ids == [*before, 0, *after]
