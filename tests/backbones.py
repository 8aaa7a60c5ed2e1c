"""Convolutional towers as oracles: transformers' and timm's, every tensor random."""

import numpy as np

from .oracles import import_torchvision
from .spec import random_arrays


def scattered(tensors):
    """The weights with layer scales that scatter around 1, as no fresh ones do."""
    draw = random_arrays(17)
    return {
        name: draw(*array.shape, scale=0.3, shift=1.0)
        if name.endswith("layer_scale_parameter")
        else array
        for name, array in tensors.items()
    }


def filled(torch, module, tensors):
    """The module in float64 at rest, holding just these tensors."""
    state = module.state_dict()
    names = {name for name in state if not name.endswith("num_batches_tracked")}
    assert names == set(tensors), sorted(names ^ set(tensors))
    state = {name: torch.from_numpy(array.copy()) for name, array in tensors.items()}
    module.double().load_state_dict(state, strict=False)
    return module.eval()


def peer(torch, family, document, tensors):
    """transformers' classifier of that family, as its config.json describes it."""
    import_torchvision()
    import transformers

    config = getattr(transformers, f"{family}Config")(**document)
    build = getattr(transformers, f"{family}ForImageClassification")
    return filled(torch, build(config), tensors)


def answers_of(torch, family, document, tensors, pixels):
    """Logits, pooled features and the map after each stage."""
    model = peer(torch, family, document, tensors)
    with torch.no_grad():
        given = torch.from_numpy(pixels.copy())
        out = model(given, output_hidden_states=True)
        base = getattr(model, model.base_model_prefix)
        pooled = base(given).pooler_output
    maps = {f"map {i}": x.numpy().copy() for i, x in enumerate(out.hidden_states)}
    flat = pooled.reshape(len(pixels), -1).numpy().copy()
    return {"logits": out.logits.numpy().copy(), "pooled": flat, **maps}


def gradients_of(torch, family, document, tensors, pixels):
    """Of the sum of the squares of the logits, at rest."""
    model = peer(torch, family, document, tensors)
    (model(torch.from_numpy(pixels.copy())).logits ** 2).sum().backward()
    return {name: p.grad.numpy().copy() for name, p in model.named_parameters()}


def single(tensors):
    """The same in float32."""
    return {name: np.asarray(array, np.float32) for name, array in tensors.items()}
