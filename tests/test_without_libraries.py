"""The spec of a bare installation: NumPy, Pillow and safetensors alone."""

import subprocess
import sys
from pathlib import Path

from .spec import example

ROOT = Path(__file__).parents[1]


@example
def test_trained_models_speak_where_nothing_else_is_installed():
    """Without tokenizers and threadpoolctl, the trained models load and speak."""
    program = """
import sys
sys.modules["tokenizers"] = sys.modules["threadpoolctl"] = None
import refvlm, refvlm.ops
from refvlm import text
print(refvlm.load("weights/fastvlm-tiny").describe("book/images/shapes.png"))
tokenizer = text.load_tokenizer("weights/clip-tiny")
print(tokenizer.decode(tokenizer.encode("a red ring and a blue star")))
print(len(text.train_byte_level(["red red"], 265).framed("<|im_start|>", "<|im_end|>")))
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True
    )
    assert ran.stdout.splitlines() == [
        "from top to bottom: a large yellow star, a small blue circle and a large red "
        "cross.",
        "a red ring and a blue star",
        "263",
    ], ran.stderr
