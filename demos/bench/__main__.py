"""Benchmarks compared with other libraries: ``python -m demos.bench patches`` and others."""

import sys
from importlib import import_module

SUITES = (
    "patches", "coding", "certificates", "memory", "crossover", "multilayer", "learning", "kill",
    "distributed", "blocks", "gpu", "holistic", "corners", "nn", "data_terms", "threads", "scaling",
    "trainable_peers",
)  # fmt: skip


USAGE = f"usage: python -m demos.bench {{{','.join(SUITES)}}} [options]"


def main(argv):
    if argv[:1] in (["-h"], ["--help"]):
        print(f"{USAGE}\n\nOptions of a benchmark: python -m demos.bench NAME --help")
        return
    if not argv or argv[0] not in SUITES:
        sys.exit(USAGE)
    import_module(f"demos.bench.{argv[0]}").main(argv[1:])


if __name__ == "__main__":
    main(sys.argv[1:])
