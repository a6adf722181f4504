"""Types of command-line arguments: values out of range end the demo with one sentence."""

import os
from argparse import ArgumentTypeError
from math import inf
from pathlib import Path

import csc

N_PHOTOGRAPHS = 9  # bundled, as returned by `csc.images.natural`


def integer(minimum, maximum=inf):
    """Return an argument type: integers from ``minimum`` to ``maximum``."""
    bounds = f"from {minimum} to {maximum}" if maximum < inf else f"of at least {minimum}"

    def parse(text):
        return _parse(text, int, lambda n: minimum <= n <= maximum, f"a whole number {bounds}")

    return parse


def number(above, below=inf):
    """Return an argument type: numbers strictly between ``above`` and ``below``."""
    bounds = f"above {above}" + (f" and below {below}" if below < inf else "")

    def parse(text):
        return _parse(text, float, lambda n: above < n < below, f"a number {bounds}")

    return parse


def _parse(text, number_type, is_valid, expected):
    try:
        value = number_type(text)
    except ValueError:
        value = None
    if value is None or not is_valid(value):
        raise ArgumentTypeError(f"must be {expected}, got {text}")
    return value


def output_folder(text):
    """Argument type: a writable folder that exists or can be created."""
    path = Path(text)
    existing = next(p for p in (path, *path.absolute().parents) if p.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise ArgumentTypeError(f"must be a writable folder, but {existing} is not")
    return path


def existing_file(text):
    """Argument type: a file that exists."""
    path = Path(text)
    if not path.is_file():
        raise ArgumentTypeError(f"must be a file, but {text} does not exist")
    return path


photograph_index = integer(0, N_PHOTOGRAPHS - 1)  # argument type: one of the bundled photographs


def require_at_most(parser, args, name, maximum, reason):
    """Exit with one sentence if argument ``name`` exceeds a bound that depends on other arguments."""
    value = getattr(args, name)
    if value > maximum:
        parser.error(f"argument --{name}: must be at most {maximum}, {reason}, got {value}")


def shortest_side(*indices):
    """Return the shortest side in pixels of the given bundled photographs, by default of all."""
    photographs = csc.images.natural()
    return min(min(photographs[i].pixels.shape) for i in indices or range(len(photographs)))
