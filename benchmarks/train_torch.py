"""The worker that trains the tiny FastVLM with PyTorch: see turns.py.

The model is transformers' and timm's, the batch and the weights are refvlm's.
"""

from __future__ import annotations

import copy
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn

from .peer_transformers import LAYOUTS, transformers
from .turns import serve

KINDS = ("shape", "colour", "size")
SEEN = {"centre": 1, "shape": 6, "colour": 8, "size": 2, "place": 2}
IGNORE, PEAK_NORM = -100, 5.0


class Worker:
    """Model, optimiser and batch, in the memory layout that is asked for."""

    def __init__(self, folder):
        self.folder = Path(folder)
        config = json.loads((self.folder / "config.json").read_text())
        config = transformers.FastVlmConfig(**config)
        self.image_token = config.image_token_id
        self.model = transformers.FastVlmForConditionalGeneration(config).train()
        weights = load_file(self.folder / "start.safetensors")
        names = [name for name in weights if name.startswith("seeing.")]
        seeing = {name: weights.pop(name) for name in names}
        missing, unexpected = self.model.load_state_dict(weights, strict=False)
        missing = [n for n in missing if "num_batches" not in n and "lm_head" not in n]
        assert not missing and not unexpected, (missing[:5], unexpected[:5])
        rows, columns = seeing["seeing.weight"].shape
        self.seeing = nn.Linear(columns, rows)
        self.seeing.load_state_dict({n[7:]: t for n, t in seeing.items()})
        stored = np.load(self.folder / "batch.npz")
        self.batch = {name: torch.from_numpy(stored[name]) for name in stored.files}
        self.start = copy.deepcopy((self.model, self.seeing))
        self.arrange("contiguous")

    def arrange(self, layout):
        """Start anew, in one of the memory layouts."""
        self.layout = layout
        self.model, self.seeing = copy.deepcopy(self.start)
        self.model.model.vision_tower.to(memory_format=LAYOUTS[layout])
        self.pixels = self.batch["pixels"].to(memory_format=LAYOUTS[layout])
        named = [*self.model.named_parameters(), *self.seeing.named_parameters()]
        groups = {}
        for name, parameter in named:
            sees = "vision_tower" in name or name in ("weight", "bias")
            groups.setdefault((parameter.ndim > 1, sees), []).append(parameter)
        self.scales = [1.0 if sees else 0.5 for _, sees in groups]
        self.parameters = [parameter for _, parameter in named]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": parameters, "weight_decay": 0.05 * matrix}
                for (matrix, _), parameters in groups.items()
            ],
            betas=(0.9, 0.98),
            fused=True,
        )

    def step(self, layout="channels_last"):
        """Seconds of one step of training."""
        if layout != self.layout:
            self.arrange(layout)
            self.learn(1e-4)  # warms up, and does not count
        start = time.perf_counter()
        self.learn(1e-4)
        return time.perf_counter() - start

    def learn(self, rate):
        """One step; the loss and the gradient's norm before it."""
        for group, scale in zip(self.optimizer.param_groups, self.scales):
            group["lr"] = rate * scale
        loss = self.loss()
        self.optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.parameters, PEAK_NORM)
        self.optimizer.step()
        return loss.item(), norm.item()

    def loss(self):
        """Speaking, and half of seeing."""
        model, batch = self.model.model, self.batch
        map_ = model.vision_tower(self.pixels).last_hidden_state
        features = map_.flatten(2).transpose(1, 2)
        image = model.multi_modal_projector(features)
        words = model.get_input_embeddings()(batch["ids"])
        place = (batch["ids"] == self.image_token)[..., None]
        hidden = model.language_model(
            inputs_embeds=words.masked_scatter(place, image),
            attention_mask=torch.where(batch["sees"], 0.0, -torch.inf)[:, None],
            position_ids=batch["positions"],
            use_cache=False,
        ).last_hidden_state
        asked = batch["labels"][:, 1:] != IGNORE
        logits = self.model.lm_head(hidden[:, :-1][asked])
        wrong = nn.functional.cross_entropy(
            logits, batch["labels"][:, 1:][asked], reduction="none"
        )
        spoken = (wrong * (batch["weights"][:, 1:][asked] / batch["answers"])).sum()
        return spoken + 0.5 * self.unseen(features)

    def unseen(self, features):
        """The loss of seeing, as refvlm/recipes/seeing.py has it."""
        guesses = self.seeing(features).flatten(0, 1).split(list(SEEN.values()), 1)
        guessed = dict(zip(SEEN, guesses))
        cells = {kind: self.batch[f"cells.{kind}"].flatten() for kind in KINDS}
        there = cells["shape"] != IGNORE
        places = self.batch["cells.place"].flatten(0, 1)
        loss = nn.functional.binary_cross_entropy_with_logits(
            guessed["centre"][:, 0], there.float(), reduction="sum"
        )
        for kind, answers in cells.items():
            loss = loss + nn.functional.cross_entropy(
                guessed[kind], answers, reduction="sum"
            )
        found = nn.functional.smooth_l1_loss(
            guessed["place"][there], places[there], reduction="sum"
        )
        return (loss + 2.5 * found) / self.batch["objects"]

    def losses(self, rates):
        """Loss and norm of the gradient of the first steps."""
        self.arrange("contiguous")
        return [self.learn(rate) for rate in rates]

    def versions(self):
        """What is measured."""
        return {"torch": torch.__version__, "transformers": transformers.__version__}


if __name__ == "__main__":
    worker = Worker(sys.argv[1])
    names = ("step", "losses", "versions")
    serve({name: getattr(worker, name) for name in names})
