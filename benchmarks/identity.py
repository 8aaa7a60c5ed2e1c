"""What a number was measured on: the processor, its caches, the code, the versions.

A kind of processor is its vendor's name, its line, family and model, and whether the
libraries were held to fewer instructions than it has: "amd-epyc-25-1-avx2".
"""

from __future__ import annotations

import platform
import re
import subprocess
import sys
from pathlib import Path

from refvlm.parallel import cores

from .turns import ROOT

CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
VENDORS = {"AuthenticAMD": "amd", "GenuineIntel": "intel"}


def machine():
    """The processor by name and number, its widest instructions, cores and caches."""
    told = _cpuinfo()
    return {
        "processor": told.get("model name", platform.processor() or "unknown"),
        "vendor": told.get("vendor_id", told.get("CPU implementer", "unknown")),
        "family": _number(told.get("cpu family", told.get("CPU architecture"))),
        "model": _number(told.get("model", told.get("CPU part"))),
        "stepping": _number(told.get("stepping", told.get("CPU revision"))),
        "instructions": _widest(told.get("flags", told.get("Features", ""))),
        "cores": cores(),
        "caches": caches(),
    }


def kind(machine, kernels):
    """The folder of a kind of processor, for `kernels` native, avx2 or given.

    >>> milan = dict(processor="AMD EPYC", vendor="AuthenticAMD", family=25, model=1)
    >>> kind(milan, "native"), kind(milan, "avx2")
    ('amd-epyc-25-1', 'amd-epyc-25-1-avx2')
    """
    name = re.sub(r"\((R|TM|r|tm)\)|CPU|Processor", " ", machine["processor"])
    vendor = VENDORS.get(machine["vendor"], machine["vendor"])
    words = [word.lower() for word in name.split() if word.isalpha()]
    line = next((word for word in words if word != vendor), "processor")
    suffix = "" if kernels == "native" else f"-{kernels}"
    parts = (vendor, line, machine["family"], machine["model"])
    return re.sub(r"[^a-z0-9]+", "-", "-".join(map(str, parts)).lower()) + suffix


def caches():
    """Bytes of L1d and L2, which each core has, and of L3, which some share."""
    sizes = {}
    for folder in sorted(CACHES.glob("index*")):
        level, type_, size = (
            (folder / name).read_text().strip() for name in ("level", "type", "size")
        )
        if type_ != "Instruction":
            name = f"L{level}d" if type_ == "Data" else f"L{level}"
            sizes[name] = int(size.rstrip("K")) * 1024
    return sizes


def commit():
    """The commit that is checked out, and whether anything but records differs."""
    head = _git("rev-parse", "--short=10", "HEAD")
    changed = _git("status", "--porcelain", "-uno", "--", ":!benchmarks/results")
    return (head or "unknown") + (" with changes" if changed else "")


def numpy_versions():
    """NumPy, the BLAS inside it with the kernels that it has chosen, and refvlm."""
    import numpy as np
    import threadpoolctl

    import refvlm

    pools = threadpoolctl.threadpool_info()
    blas = [
        f"{pool['internal_api']} {pool['version']} ({pool.get('architecture', '?')})"
        for pool in pools
        if pool["user_api"] == "blas"
    ]
    return {
        "numpy": np.__version__,
        "BLAS": ", ".join(blas) or "unknown",
        "refvlm": refvlm.__version__,
    }


def python_version():
    """Python's own."""
    return sys.version.split()[0]


def _cpuinfo():
    """What the system tells about the first core."""
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return {}
    first = path.read_text().partition("\n\n")[0]
    pairs = (line.partition(":")[::2] for line in first.splitlines())
    return {name.strip(): value.strip() for name, value in pairs}


def _widest(flags):
    names = {"avx512f": "AVX-512", "avx2": "AVX2", "asimd": "NEON"}
    return next((name for flag, name in names.items() if flag in flags.split()), "none")


def _number(text):
    return int(text, 0) if text else None


def _git(*arguments):
    try:
        command = ["git", "-C", str(ROOT), *arguments]
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError:
        return ""
    return done.stdout.strip()
