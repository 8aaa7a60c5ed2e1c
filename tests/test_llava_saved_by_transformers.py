"""A LLaVA that transformers saved is opened as it is, and says the same.

The model, LLaMA's tokenizer and LlavaProcessor, each by its save_pretrained: its names,
its chat template, its preprocessor. On record as in test_saved_by_transformers.py.
"""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import refvlm
from refvlm.models.llava_names import current_name
from refvlm.text import learn_raw_bpe

from . import llavas
from .oracles import import_torchvision
from .spec import oracle
from .test_saved_by_transformers import as_bytes, record_of, restore

QUESTION, NEW = "What is on the table?", 24
LEARNT = learn_raw_bpe(llavas.TEXTS, 300, ["<unk>", "<s>", "</s>"])
IMAGE = len(LEARNT.known)
DOCUMENT = llavas.changed(
    image_token_index=IMAGE,
    text_config={"vocab_size": IMAGE + 5, "max_position_embeddings": 128},
)
TENSORS = llavas.built(DOCUMENT, seed=29)[1]


def as_float32(array):
    return array.astype("<f4").tobytes()


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    path = tmp_path_factory.mktemp("pictures") / "patches.png"
    patches = np.random.RandomState(4).randint(0, 256, (4, 3, 3), np.uint8)
    Image.fromarray(patches.repeat(9, axis=0).repeat(17, axis=1)).save(path)
    return path


def save_by_transformers(torch, directory):
    """The model, the tokenizer and the processor."""
    from transformers import (
        CLIPImageProcessorPil,
        LlamaTokenizer,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )

    config = LlavaConfig.from_dict(json.loads(json.dumps(DOCUMENT)))
    model = LlavaForConditionalGeneration(config)
    state = {name: torch.from_numpy(array).float() for name, array in TENSORS.items()}
    model.load_state_dict(state)
    model.save_pretrained(directory)
    tokenizer = LlamaTokenizer(vocab=LEARNT.known, merges=LEARNT.merges)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    side = {"height": llavas.SIZE, "width": llavas.SIZE}
    processor = LlavaProcessor(
        CLIPImageProcessorPil(size={"shortest_edge": llavas.SIZE}, crop_size=side),
        tokenizer,
        patch_size=4,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=llavas.VICUNA,
    )
    processor.save_pretrained(directory)
    return processor


def ask_transformers(torch, directory, processor, picture):
    """Its ids, its text, and how far the first choice was from the second."""
    from transformers import LlavaForConditionalGeneration

    model = LlavaForConditionalGeneration.from_pretrained(directory).float().eval()
    question = [{"type": "image"}, {"type": "text", "text": QUESTION}]
    given = processor.apply_chat_template(
        [{"role": "user", "content": question}], add_generation_prompt=True
    )
    given = processor(images=Image.open(picture), text=given, return_tensors="pt")
    out = model.generate(
        **given,
        max_new_tokens=NEW,
        do_sample=False,
        return_dict_in_generate=True,
        output_logits=True,
    )
    best = torch.stack(out.logits).topk(2).values
    ids = out.sequences[0, given["input_ids"].shape[1] :]
    return {
        "prompt": given["input_ids"][0].numpy(),
        "ids": ids.numpy(),
        "text": as_bytes(processor.decode(ids, skip_special_tokens=True).encode()),
        "margin": (best[..., 0] - best[..., 1]).min().numpy()[None],
    }


@oracle
def test_describe_equals_transformers_llava(compare, tmp_path, picture):
    """The same prompt, the same 24 ids and the same text; the command prints it."""

    def ask(torch):
        import_torchvision()
        saved = tmp_path / "saved"
        processor = save_by_transformers(torch, saved)
        answer = ask_transformers(torch, saved, processor, picture)
        return {**answer, **record_of(saved)}

    inputs = (DOCUMENT, TENSORS, picture.read_bytes(), QUESTION)
    answer = compare.answers(ask, inputs, tolerance=1e-3)
    assert len(answer["ids"]) == NEW and len(set(answer["ids"].tolist())) > 6
    assert answer["margin"] > 1e-3, "a tie would prove nothing"
    header = json.loads(answer["header"].tobytes()[8:])
    named = {name: TENSORS[current_name(name)] for name in header if name[0] != "_"}
    directory = restore(tmp_path / "restored", answer, as_float32, named)
    vlm = refvlm.load(directory)
    prompt = vlm.prompt_ids(QUESTION)[0].tolist()
    place = prompt.index(-200)
    prompt[place : place + 1] = [IMAGE] * llavas.PATCHES
    assert prompt == answer["prompt"].tolist()
    stream = vlm.describe_stream(picture, QUESTION, NEW)
    ids = [token for token, _ in stream if token >= 0]
    np.testing.assert_array_equal(ids, answer["ids"])
    text = answer["text"].tobytes().decode().strip()
    assert vlm.describe(picture, QUESTION, NEW) == text
    options = ["--model", directory, "--max-new-tokens", str(NEW)]
    done = subprocess.run(
        [sys.executable, "-m", "refvlm", "ask", picture, QUESTION, *options],
        capture_output=True,
        timeout=120,
    )
    assert done.stdout.decode().strip() == text, done.stderr
