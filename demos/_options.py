"""Command lines of the demos: every number has its range, and one sentence says what is outside."""

import os
from argparse import ArgumentTypeError
from math import inf
from pathlib import Path

import csc

N_PHOTOGRAPHS = 9  # that `csc.images.natural` returns


def whole(low, high=inf):
    """The type of an argument: an integer from ``low`` to ``high``."""
    upto = f"from {low} to {high}" if high < inf else f"of at least {low}"

    def read(text):
        return _within(text, int, lambda n: low <= n <= high, f"a whole number {upto}")

    return read


def real(low, high=inf):
    """The type of an argument: a number above ``low`` and below ``high``."""
    below = f" and below {high}" if high < inf else ""

    def read(text):
        return _within(text, float, lambda n: low < n < high, f"a number above {low}{below}")

    return read


def _within(text, kind, holds, range_):
    try:
        number = kind(text)
    except ValueError:
        number = None
    if number is None or not holds(number):
        raise ArgumentTypeError(f"must be {range_}, got {text}")
    return number


def folder(text):
    """The type of an argument: a folder that is there or can be made."""
    path = Path(text)
    there = next(p for p in (path, *path.absolute().parents) if p.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise ArgumentTypeError(f"must be a folder to write to, but {there} is none")
    return path


def file(text):
    """The type of an argument: a file that is there."""
    path = Path(text)
    if not path.is_file():
        raise ArgumentTypeError(f"must be a file, but there is none at {text}")
    return path


photograph = whole(0, N_PHOTOGRAPHS - 1)  # the type of an argument: which of the bundled


def at_most(parser, choices, name, most, why):
    """End with a sentence where an argument is larger than something else allows."""
    value = getattr(choices, name)
    if value > most:
        parser.error(f"argument --{name}: must be at most {most}, {why}, got {value}")


def shortest(*which):
    """The shortest side of some bundled photographs, in pixels; without numbers, of all."""
    found = csc.images.natural()
    return min(min(found[i].pixels.shape) for i in which or range(len(found)))
