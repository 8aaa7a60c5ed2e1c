"""A number in the book comes from the code as it is now.

The notebook cache remembers a chapter's results by the chapter's own cells, and
Sphinx re-reads a page when its own text changes. Neither sees that `refvlm` has
changed underneath. So the cache has one folder per state of the code, and a new
state makes every page be read again. A new look does so too: Sphinx copies a changed
style sheet only when it has a page to write.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.config import Config

CODE = ("refvlm", "book/_lib", "book/images", "weights", "benchmarks")
LOOK = ("book/_ext", "book/_static")


def fingerprint(root: Path, folders: tuple[str, ...]) -> str:
    """A digest of every file in the folders."""
    digest = hashlib.sha256()
    files = (file for folder in folders for file in (root / folder).rglob("*"))
    for file in sorted(files):
        if file.is_file() and file.suffix != ".pyc":
            digest.update(str(file.relative_to(root)).encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def choose_cache(app: Sphinx, config: Config) -> None:
    state = fingerprint(Path(app.srcdir), CODE)
    caches = Path(app.outdir).parent / ".jupyter_cache"
    for cache in caches.glob("*"):
        if cache.is_dir() and cache.name != state:
            shutil.rmtree(cache, ignore_errors=True)
    config.nb_execution_cache_path = str(caches / state)
    config.refvlm_state = state + fingerprint(Path(app.srcdir), LOOK)


def setup(app: Sphinx) -> None:
    app.add_config_value("refvlm_state", "", "env")
    app.connect("config-inited", choose_cache)
