"""What this machine can do in NumPy: the two roofs of its roofline, and its ufuncs.

    python -m benchmarks.machine

Matrix products per second (the flat roof), bytes per second (the slanted one), and
nanoseconds per number of the functions that networks are made of, in cache and on
one core.
"""

from __future__ import annotations

import argparse

from .turns import Peer, add_arguments, machine, save


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    options = parser.parse_args()
    peer = Peer("machine_worker", options=options)
    result = {"machine": machine(options)}
    result |= {
        name: peer.ask_in_quiet(name) for name in ("products", "memory", "functions")
    }
    peer.close()
    for name in ("products", "memory", "functions"):
        print(name, result[name])
    save(options.name or f"machine-{options.kernels}", result)


if __name__ == "__main__":
    main()
