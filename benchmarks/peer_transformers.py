"""The worker that answers for transformers and PyTorch: see turns.py."""

from __future__ import annotations

import sys
import time

import numpy as np
import torch

# timm imports torchvision, which needs these two declared where it is not compiled.
_library = torch.library.Library("torchvision", "DEF")
_library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
_library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import transformers  # noqa: E402
from transformers import FastVlmForConditionalGeneration  # noqa: E402

from .turns import serve  # noqa: E402

LAYOUTS = {
    "contiguous": torch.contiguous_format,
    "channels_last": torch.channels_last,
}


class Worker:
    """FastVLM as transformers has it, one part at a time."""

    def __init__(self, directory):
        torch.set_grad_enabled(False)
        self.model = FastVlmForConditionalGeneration.from_pretrained(
            directory, dtype=torch.float32
        ).eval()
        self.layout, self.attention = "contiguous", None

    def tower(self, pixels, layout="channels_last"):
        """Picture to image tokens, in seconds, in one of the memory layouts."""
        if layout != self.layout:
            self.model.model.vision_tower.to(memory_format=LAYOUTS[layout])
            self.layout = layout
        pixels = torch.from_numpy(np.load(pixels)).to(memory_format=LAYOUTS[layout])
        start = time.perf_counter()
        self.model.model.get_image_features(pixels)
        return time.perf_counter() - start

    def text(self, ids, steps, attention="sdpa"):
        """Seconds for the prompt, seconds for each further token, and the tokens."""
        if attention != self.attention:
            self.model.set_attn_implementation(attention)
            self.attention = attention
        start = time.perf_counter()
        state = self._next([ids], None)
        tokens = [self._token(state)]
        prompt, start = time.perf_counter() - start, time.perf_counter()
        for _ in range(steps):
            state = self._next([tokens[-1:]], state.past_key_values)
            tokens.append(self._token(state))
        each = (time.perf_counter() - start) / max(steps, 1)
        return {"prompt": prompt, "token": each, "tokens": tokens}

    def _next(self, ids, cache):
        return self.model(
            input_ids=torch.tensor(ids),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )

    @staticmethod
    def _token(state):
        return int(state.logits[0, -1].argmax())

    def logits(self, pixels, ids, out):
        """Write the logits of every position to a file."""
        pixels = torch.from_numpy(np.load(pixels))
        state = self.model(input_ids=torch.tensor([ids]), pixel_values=pixels)
        np.save(out, state.logits.numpy())

    def versions(self):
        """What is measured."""
        return {"torch": torch.__version__, "transformers": transformers.__version__}


if __name__ == "__main__":
    worker = Worker(sys.argv[1])
    names = ("tower", "text", "logits", "versions")
    serve({name: getattr(worker, name) for name in names})
