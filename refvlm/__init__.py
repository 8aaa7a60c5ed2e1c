"""Vision-language models in plain NumPy, written to be read.

import refvlm

vlm = refvlm.load("FastVLM-0.5B")
print(vlm.describe("photo.jpg", "What is in this picture?"))
"""

import importlib
import os

__version__ = "0.1.0"

# The rooms, by what lies in the folder: `refvlm.ops` opens when it is first named.
# (pkgutil would tell them too, and take longer than all the rest of this import.)
_FOLDER = __path__[0]
_ROOMS = [
    name.removesuffix(".py")
    for name in sorted(os.listdir(_FOLDER))
    if name[0] not in "._"
    and (name.endswith(".py") or os.path.exists(f"{_FOLDER}/{name}/__init__.py"))
]
__all__ = ["load", *_ROOMS]


def __getattr__(name):
    # Everything brings the floors below with it; `import refvlm` should bring none.
    if name == "load":
        return importlib.import_module(".pretrained", __name__).load
    if name in _ROOMS:
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module 'refvlm' has no attribute {name!r}")


def __dir__():
    return sorted([*__all__, "__version__"])
