"""Where a reader's function may take a place, and which tests are its laws."""

import functools
import inspect
from pathlib import Path

from refvlm import generate, image, ops, quantize, text
from refvlm.analysis import attention_maps, joining_costs, reach, scaling_laws
from refvlm.blocks import adapters, connectors, episodes
from refvlm.blocks.convolutional import reparameterization
from refvlm.blocks.episodic_memory import addressing, attention, gates
from refvlm.blocks.fusion import merging
from refvlm.metrics import seeds, zero_shot
from refvlm.models import splicing
from refvlm.objectives import (
    combining,
    continual,
    contrastive,
    distillation,
    language,
    masked,
    remembering,
)
from refvlm.train import clipping, optimizers, schedules

TESTS = Path(__file__).parents[1]

# Of a name that two of them have, the first is meant unless the parameters say other.
# Left out are modules whose names a reader may well give to something else: `score`.
HOMES = (
    ops,
    text,
    reparameterization,
    adapters,
    connectors,
    episodes,
    merging,
    addressing,
    attention,
    gates,
    splicing,
    combining,
    continual,
    contrastive,
    distillation,
    language,
    masked,
    remembering,
    seeds,
    zero_shot,
    optimizers,
    schedules,
    clipping,
    generate,
    quantize,
    image,
    attention_maps,
    joining_costs,
    reach,
    scaling_laws,
)


@functools.cache  # as they were before a reader's took a place
def functions_of(home):
    """name -> function, of those that the home offers; derivatives are theirs."""
    package = hasattr(home, "__path__")
    return {
        name: value
        for name, value in vars(home).items()
        if inspect.isfunction(value)
        and not name.startswith("_")
        and not name.endswith("_vjp")
        and (package or value.__module__ == home.__name__)
    }


def home_of(name, function=None):
    """The home with a function of this name, of several that with its parameters."""
    homes = [home for home in HOMES if name in functions_of(home)]
    for home in homes:
        ours = inspect.signature(getattr(home, name)).parameters
        if function and set(ours) == set(inspect.signature(function).parameters):
            return home
    return homes[0] if homes else None


def tests_of(home):
    """The folder of tests that a package has, or the file that a module has."""
    folder = TESTS.joinpath(*home.__name__.split(".")[1:])
    package = hasattr(home, "__path__")
    return folder if package else folder.with_name(f"test_{folder.name}.py")
