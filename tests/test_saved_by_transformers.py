"""A directory that transformers saved is opened as it is, and says the same.

transformers writes the model, its tokenizer and its processor; we open that directory
and have to give its ids and its text. The directory is on record: the small files byte
for byte, the large one by its header, since its tensors are drawn anew (and its digest,
so that nothing can have changed).
"""

import copy
import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import refvlm

from . import tiny
from .oracles import import_torchvision
from .spec import oracle
from .text.test_chat import CHATML_WITH_IMAGES
from .text.vocabulary import learn, write_vocabulary

QUESTION, NEW = "What is on the table?", 32
WEIGHTS = "model.safetensors"


def described_config():
    """The tiny model, with the vocabulary of a small Qwen2 tokenizer."""
    config, known = copy.deepcopy(tiny.CONFIG), len(learn()[0])
    config["text_config"]["vocab_size"] = known + 8
    config["text_config"]["eos_token_id"] = known + 2
    config["image_token_index"] = known + 3
    return config


CONFIG = described_config()
TENSORS = tiny.random_tensors(CONFIG, seed=23)


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    path = tmp_path_factory.mktemp("pictures") / "patches.png"
    patches = np.random.RandomState(2).randint(0, 256, (5, 8, 3), np.uint8)
    Image.fromarray(patches.repeat(37, axis=0).repeat(29, axis=1)).save(path)
    return path


def save_by_transformers(torch, directory, dtype, whole):
    """The model, the tokenizer and the processor, each by its save_pretrained.

    `whole` saves one processor for text and picture, else each has its own files.
    """
    from transformers import (
        CLIPImageProcessorPil,
        FastVlmConfig,
        FastVlmForConditionalGeneration,
        LlavaProcessor,
        Qwen2Tokenizer,
    )

    model = FastVlmForConditionalGeneration(
        FastVlmConfig.from_dict(copy.deepcopy(CONFIG))
    )
    model.load_state_dict(
        {name: torch.from_numpy(array).float() for name, array in TENSORS.items()},
        strict=False,
    )
    model.tie_weights()
    model.to(dtype).save_pretrained(directory)
    words = write_vocabulary(directory.with_name("words"), CHATML_WITH_IMAGES)
    tokenizer = Qwen2Tokenizer.from_pretrained(words)
    pixels = CLIPImageProcessorPil(
        size={"shortest_edge": tiny.SIZE},
        crop_size={"height": tiny.SIZE, "width": tiny.SIZE},
        image_mean=[0.0, 0.0, 0.0],
        image_std=[1.0, 1.0, 1.0],
    )
    processor = LlavaProcessor(
        pixels,
        tokenizer,
        patch_size=64,
        vision_feature_select_strategy="full",
        chat_template=CHATML_WITH_IMAGES,
    )
    if whole:
        processor.save_pretrained(directory)
    else:
        tokenizer.save_pretrained(directory)
        pixels.save_pretrained(directory)
    return processor


def ask_transformers(torch, directory, processor, picture):
    """Its ids, its text, and how far the first choice was from the second."""
    from transformers import FastVlmForConditionalGeneration

    model = FastVlmForConditionalGeneration.from_pretrained(
        directory, dtype=torch.float32
    ).eval()
    question = [{"type": "image"}, {"type": "text", "text": QUESTION}]
    prompt = processor.apply_chat_template(
        [
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": question},
        ],
        add_generation_prompt=True,
    )
    given = processor(images=Image.open(picture), text=prompt, return_tensors="pt")
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
        "ids": ids.numpy(),
        "text": as_bytes(processor.decode(ids, skip_special_tokens=True).encode()),
        "margin": (best[..., 0] - best[..., 1]).min().numpy()[None],
    }


def as_bytes(content):
    return np.frombuffer(content, np.uint8)


def record_of(directory):
    """The files of a directory as arrays; of the weights, header and digest."""
    files = {path.name: path.read_bytes() for path in directory.iterdir()}
    weights = files.pop(WEIGHTS)
    length = 8 + int.from_bytes(weights[:8], "little")
    digest = hashlib.sha256(weights).digest()
    return {
        **{f"file {name}": as_bytes(content) for name, content in files.items()},
        "header": as_bytes(weights[:length]),
        "digest": as_bytes(digest),
    }


def restore(directory, record, encode, tensors=TENSORS):
    """The directory that the record is of, to the last byte."""
    directory.mkdir()
    for name, content in record.items():
        if name.startswith("file "):
            (directory / name.removeprefix("file ")).write_bytes(content.tobytes())
    header = record["header"].tobytes()
    weights = header + b"".join(tensors_of(header, encode, tensors))
    assert hashlib.sha256(weights).digest() == record["digest"].tobytes()
    (directory / WEIGHTS).write_bytes(weights)
    return directory


def tensors_of(header, encode, tensors):
    """The bytes that follow a safetensors header; a counter of batches is 0."""
    entries = json.loads(header[8:])
    entries.pop("__metadata__", None)
    places = {name: entry["data_offsets"] for name, entry in entries.items()}
    for name in sorted(places, key=places.get):
        begin, end = places[name]
        yield encode(tensors[name]) if name in tensors else bytes(end - begin)


def as_bfloat16(array):
    """The upper half of each float32, rounded to the nearest, ties to even."""
    bits = array.astype("<f4").view("<u4")
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype("<u2").tobytes()


FORMS = {
    "float32": (True, lambda array: array.astype("<f4").tobytes()),
    "float16": (False, lambda array: array.astype("<f4").astype("<f2").tobytes()),
    "bfloat16": (True, as_bfloat16),
}


@oracle
@pytest.mark.parametrize("dtype", FORMS)
def test_describe_equals_transformers(compare, tmp_path, picture, dtype):
    """The same 32 ids and the same text, from what transformers saved in `dtype`; the
    command prints that text."""
    whole, encode = FORMS[dtype]

    def ask(torch):
        import_torchvision()
        saved = tmp_path / "saved"
        kind = getattr(torch, dtype)
        processor = save_by_transformers(torch, saved, kind, whole)
        answer = ask_transformers(torch, saved, processor, picture)
        return {**answer, **record_of(saved)}

    inputs = (CONFIG, TENSORS, picture.read_bytes(), QUESTION, dtype)
    answer = compare.answers(ask, inputs, tolerance=1e-3)
    assert len(answer["ids"]) == NEW and len(set(answer["ids"].tolist())) > 9
    assert CONFIG["image_token_index"] in answer["ids"], "it may say that word, too"
    assert answer["margin"] > 1e-3, "a tie would prove nothing"
    directory = restore(tmp_path / "restored", answer, encode)
    text = answer["text"].tobytes().decode().strip()
    vlm = refvlm.load(directory)
    stream = vlm.describe_stream(picture, QUESTION, NEW)
    ids = [token for token, _ in stream if token >= 0]
    np.testing.assert_array_equal(ids, answer["ids"])
    assert vlm.describe(picture, QUESTION, NEW) == text
    options = ["--model", directory, "--prompt", QUESTION, "--max-new-tokens", str(NEW)]
    done = subprocess.run(
        [sys.executable, "-m", "refvlm", "describe", picture, *options],
        capture_output=True,
        timeout=120,
    )
    assert done.stderr.startswith(b"refvlm: cut ") and done.stderr.count(b"\n") == 1
    assert done.stdout.decode().strip() == text
