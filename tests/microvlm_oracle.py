"""MicroVLM-V in torch, of parts that others wrote: what ours is held against.

transformers' ViTModel looks, torch.nn.MultiheadAttention pools, torch.nn.LSTM orders,
the memory is written out in its information form, and transformers' Qwen2Model speaks,
the slots in its cache. Where slots have a head for each query, every key head of the
decoder is copied for the queries that share it, which changes nothing that it says.

To be asked under `oracles.all_double`, once `import_all` was called outside of it.
"""

import json

import numpy as np
from safetensors.numpy import save_file

from refvlm.models import vit

from .oracles import import_torchvision

DECODER = "language_model.model"
NO_SIGHT = float("-inf")


def import_all():
    """transformers' classes; not under `all_double`, which its modules would keep."""
    import_torchvision()
    from transformers import Qwen2Model, ViTModel
    from transformers.models.qwen2 import modeling_qwen2
    from transformers.models.vit import modeling_vit

    assert Qwen2Model and ViTModel and modeling_qwen2 and modeling_vit


class Composed:
    """The parts of one model, with its weights, in float64."""

    def __init__(self, torch, document, tensors, directory):
        self.torch, self.document = torch, document
        text = document["text_config"]
        self.head_dim = text["hidden_size"] // text["num_attention_heads"]
        self.tensors = {
            name: torch.from_numpy(array.copy()).requires_grad_()
            for name, array in tensors.items()
        }
        self.tower = self._tower(directory)
        self.repeats = self._repeats()
        self.speaker = self._speaker()

    def part(self, name):
        """The tensors whose names begin so, by the rest of them."""
        begins = f"{name}."
        return {
            n.removeprefix(begins): t
            for n, t in self.tensors.items()
            if n.startswith(begins)
        }

    def call(self, module, name, *args, **options):
        """What a module answers with our tensors in its place."""
        return self.torch.func.functional_call(module, self.part(name), args, options)

    def _tower(self, directory):
        """A directory as published, which transformers opens under its own names."""
        from transformers import ViTModel

        described = {**self.document["vision_config"], "architectures": ["ViTModel"]}
        (directory / "config.json").write_text(json.dumps(described))
        arrays = {n: t.detach().numpy() for n, t in self.part("vision_encoder").items()}
        arrays = {n: np.ascontiguousarray(a) for n, a in arrays.items()}
        save_file(arrays, directory / "model.safetensors", {"format": "pt"})
        return ViTModel.from_pretrained(
            directory, dtype=self.torch.float64, add_pooling_layer=False
        ).eval()

    def _repeats(self):
        """How often each key head is written down: once, or for each of its queries."""
        text, slots = self.document["text_config"], self.document["memory"]["heads"]
        return slots // text["num_key_value_heads"]

    def _speaker(self):
        from transformers import Qwen2Config, Qwen2Model

        numbers = json.loads(json.dumps(self.document["text_config"]))
        numbers["num_key_value_heads"] *= self.repeats
        config = Qwen2Config(**numbers, attn_implementation="sdpa")
        return Qwen2Model(config).double().eval()

    def spoken(self, embeddings, counts, slots=None, bias=None, first=0):
        """Hidden states (b, t, h). Where there are slots, they stand in the cache, at
        a bias (b, s), and the tokens from `first` on see them; nobody sees what does
        not count."""
        torch = self.torch
        from transformers import DynamicCache

        cache = DynamicCache()
        for layer, (keys, values) in enumerate(slots or ()):
            cache.update(keys, values, layer)
        batch, tokens, _ = embeddings.shape
        sees = torch.ones(tokens, tokens, dtype=torch.bool).tril() & counts[:, None]
        mask = torch.zeros(batch, tokens, tokens).masked_fill(~sees, NO_SIGHT)
        if slots:
            early = torch.arange(tokens)[:, None] < first
            gates = bias[:, None].expand(-1, tokens, -1)
            mask = torch.cat([gates.masked_fill(early, NO_SIGHT), mask], dim=-1)
        options = {
            "inputs_embeds": embeddings,
            "attention_mask": mask[:, None],
            "position_ids": (counts.long().cumsum(1) - 1).clamp(min=0),
            "past_key_values": cache,
        }
        named = {name: self.repeated(name) for name in self.part(DECODER)}
        out = torch.func.functional_call(self.speaker, named, (), options)
        return out.last_hidden_state

    def repeated(self, name):
        """A decoder's tensor, its key heads as often as they are written down."""
        tensor = self.tensors[f"{DECODER}.{name}"]
        if "k_proj" not in name and "v_proj" not in name:
            return tensor
        heads = tensor.reshape(-1, self.head_dim, *tensor.shape[1:])
        return heads.repeat_interleave(self.repeats, dim=0).flatten(0, 1)

    def prefix(self, pixels):
        """Pictures to tokens of the decoder."""
        torch, functional = self.torch, self.torch.nn.functional
        patches = self.tower(pixels).last_hidden_state[:, 1:]
        part = self.part("multimodal_adapter")
        seen = functional.linear(
            patches, part["projection.weight"], part["projection.bias"]
        )
        seen = functional.linear(seen, part["mlp.0.weight"], part["mlp.0.bias"])
        seen = functional.linear(
            functional.gelu(seen), part["mlp.2.weight"], part["mlp.2.bias"]
        )
        queries = part["pooling_queries"].expand(len(pixels), -1, -1)
        heads, hidden = self.document["adapter"]["pooling_heads"], seen.shape[-1]
        if heads:
            pool = torch.nn.MultiheadAttention(hidden, heads, batch_first=True)
            pooled, _ = self.call(
                pool, "multimodal_adapter.pooling_attn", queries, seen, seen
            )
        else:
            pooled = functional.scaled_dot_product_attention(queries, seen, seen)
        return functional.layer_norm(
            pooled + part["prefix_pos_embeddings"],
            (hidden,),
            part["layer_norm.weight"],
            part["layer_norm.bias"],
        )

    def embedded(self, ids):
        return self.tensors[f"{DECODER}.embed_tokens.weight"][ids]

    def ordered(self, contexts):
        """What the LSTM says of each step, (e, t, C)."""
        memory = {"order_layers": 2, "bidirectional": True, **self.document["memory"]}
        order = self.torch.nn.LSTM(
            contexts.shape[-1],
            memory["order_width"],
            memory["order_layers"],
            batch_first=True,
            bidirectional=memory["bidirectional"],
        )
        return self.call(order, "episodic_memory.lstm_z", contexts)[0]

    def start(self):
        memory = self.document["memory"]
        eye = self.torch.eye(memory["slots"], memory["width"])
        return memory["prior_scale"] * eye

    def written(self, codes):
        """Mean and covariance of what is believed: the information of the prior and
        that of every code, added up."""
        torch, noise = self.torch, self.document["memory"]["noise"]
        before = self.start()
        addresses = codes @ torch.linalg.pinv(before)
        information = torch.eye(len(before)) + addresses.mT @ addresses / noise
        covariance = torch.linalg.inv(information)
        return covariance @ (before + addresses.mT @ codes / noise), covariance

    def asked(self, mean, cues):
        """Where cues lead, and what is there: the prior's addresses, or, with a ridge,
        those of least squares on stacked rows."""
        torch = self.torch
        ridge = self.document["memory"].get("ridge")
        if ridge is None:
            address = cues @ torch.linalg.pinv(self.start())
            return address, address @ mean
        slots = mean.shape[-2]
        short = (ridge**0.5 * torch.eye(slots)).expand(*mean.shape[:-2], -1, -1)
        system = torch.cat([mean.mT, short], dim=-2)
        wanted = torch.nn.functional.pad(cues.mT, (0, 0, 0, slots))
        address = torch.linalg.lstsq(system, wanted).solution.mT
        return address, address @ mean

    def scope(self, questions):
        functional, part = self.torch.nn.functional, self.part("scope_detector")
        for place in (0, 3, 6):
            if place:
                questions = questions.relu()
            weight, bias = part[f"mlp.{place}.weight"], part[f"mlp.{place}.bias"]
            questions = functional.linear(questions, weight, bias)
        return questions

    def slots(self, reads):
        """(b, s, C) to a key and a value (b, heads, s, d) for each layer."""
        part, text = self.part("episodic_memory.W_M"), self.document["text_config"]
        numbers = self.torch.nn.functional.linear(reads, part["weight"], part["bias"])
        heads = self.document["memory"]["heads"]
        shape = text["num_hidden_layers"], heads, self.head_dim, 2
        pairs = numbers.reshape(*reads.shape[:2], *shape).permute(2, 5, 0, 3, 1, 4)
        return [(keys, values) for keys, values in pairs]

    def codes(self, tokens):
        """What is written of pictures (e, n, m, h): what the LSTM says of their means,
        or some tokens with it added."""
        memory = self.document["memory"]
        order = self.ordered(tokens.mean(2))
        if memory.get("wiring", "contexts") == "contexts":
            return order
        some = tokens[:, :, : memory["written_tokens"]]
        marked = self.mapped(some, "code_projection") + order[:, :, None]
        return self.normed(marked, "code_norm").flatten(1, 2)

    def cues(self, questions):
        if self.document["memory"].get("wiring", "contexts") == "contexts":
            return questions
        return self.normed(self.mapped(questions, "query_projection"), "query_norm")

    def mapped(self, x, name):
        part = self.part(f"episodic_memory.{name}")
        return self.torch.nn.functional.linear(x, part["weight"], part["bias"])

    def normed(self, x, name):
        part = self.part(f"episodic_memory.{name}")
        width = x.shape[-1:]
        return self.torch.nn.functional.layer_norm(
            x, width, part["weight"], part["bias"]
        )

    def logits(self, hidden):
        return hidden @ self.tensors[f"{DECODER}.embed_tokens.weight"].T

    def whole(self, pixels, ids, mask, episodes):
        """The source's forward pass, to logits (b, m + t, vocabulary)."""
        torch = self.torch
        fused = torch.cat([self.prefix(pixels), self.embedded(ids)], dim=1)
        room = fused.shape[1] - ids.shape[1]
        counts = torch.nn.functional.pad(mask.bool(), (room, 0), value=True)
        shares = counts[..., None] / counts.sum(1)[:, None, None]
        contexts = (fused * shares).sum(1)
        steps = contexts.reshape(episodes, -1, contexts.shape[-1])
        mean, _ = self.written(self.codes(steps[:, :, None]))
        _, read = self.asked(mean, self.cues(steps))
        slots = self.slots(read.flatten(0, 1)[:, None])
        bias = torch.nn.functional.logsigmoid(self.scope(contexts))
        return self.logits(self.spoken(fused, counts, slots, bias))

    def answered(self, pixels, questions, answers):
        """The other wiring: an episode (e, n, 3, s, s) is written and gone, a question
        (e, t) is read, and the answer (e, a) that follows it sees what it asked for."""
        torch = self.torch
        tokens = self.prefix(pixels.flatten(0, 1)).unflatten(0, pixels.shape[:2])
        mean, _ = self.written(self.codes(tokens))
        text = self.embedded(torch.cat([questions, answers], dim=1))
        counts, read_first = torch.ones(text.shape[:2]).bool(), questions.shape[1]
        before = self.spoken(text[:, :read_first], counts[:, :read_first])[:, -1:]
        address, read = self.asked(mean, self.cues(before))
        bias = torch.nn.functional.logsigmoid(self.scope(before)[..., 0])
        hidden = self.spoken(text, counts, self.slots(read), bias, read_first)
        logits = self.logits(hidden[:, read_first:])
        return {"mean": mean, "address": address, "read": read, "logits": logits}

    def gradients(self):
        """name -> gradient of every tensor that has one, the tower's under their
        published names."""
        found = {n: t.grad for n, t in self.tensors.items() if t.grad is not None}
        for name, parameter in self.tower.named_parameters():
            found[f"vision_encoder.{published(name)}"] = parameter.grad
        return {name: gradient.numpy().copy() for name, gradient in found.items()}


def published(name):
    """The name in its files of what transformers calls otherwise in memory."""
    for ours, theirs in vit.BLOCK.items():
        name = name.replace(f".{IN_MEMORY.get(ours, theirs)}.", f".{theirs}.")
    return name.replace("layers.", "encoder.layer.")


# What transformers calls a block's parts in memory, where it is not as in the files.
IN_MEMORY = {
    "self_attn.q_proj": "attention.q_proj",
    "self_attn.k_proj": "attention.k_proj",
    "self_attn.v_proj": "attention.v_proj",
    "self_attn.out_proj": "attention.o_proj",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
}
