"""Pursuits keep the precision of their atoms under autocast."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from csc.nn._parameters import TrainableDictionary


@contextmanager
def full_precision(x: torch.Tensor, dictionary: TrainableDictionary) -> Iterator[torch.Tensor]:
    """Switch autocast off, and yield signals in the precision of the atoms.

    Codes are differences of large sums, which the 8 bits of bfloat16 do not resolve.
    """
    device = x.device.type if isinstance(x, torch.Tensor) else "cpu"
    if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
        with torch.autocast(device, enabled=False):
            yield dictionary.check_signals(x.to(dictionary.raw_atoms.dtype))
    else:
        yield dictionary.check_signals(x)
