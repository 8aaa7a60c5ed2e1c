"""Vision-language models in plain NumPy, written to be read.

import refvlm

vlm = refvlm.load("FastVLM-0.5B")
print(vlm.describe("photo.jpg", "What is in this picture?"))
"""

__version__ = "0.1.0"
__all__ = ["load"]


def __getattr__(name):
    # `refvlm.load` brings every floor with it; `import refvlm.shapes` should not.
    if name == "load":
        from .pretrained import load

        return load
    raise AttributeError(f"module 'refvlm' has no attribute {name!r}")
