"""What data terms share: weights of samples, equality, a short repr."""

from dataclasses import fields

import numpy as np

from csc._backend import to_host
from csc._validation import check_floats


def checked_weights(weights):
    """Weights of samples as a finite array >= 0, or None."""
    if weights is None:
        return None
    weights = check_floats("weights", weights, hint="give samples that do not count the weight 0")
    if (weights < 0).any():
        raise ValueError(f"weights must be >= 0, got {float(weights.min()):.3g}")
    return weights


class SampleWeightsMixin:
    """Equality, hash and repr of frozen dataclasses with numbers and one array ``weights``."""

    def __eq__(self, other):
        if type(other) is not type(self):
            return NotImplemented
        if self._numbers() != other._numbers() or (self.weights is None) != (other.weights is None):
            return False
        return self.weights is None or np.array_equal(to_host(self.weights), to_host(other.weights))

    def __hash__(self):
        return hash((type(self), *self._numbers(), getattr(self.weights, "shape", None)))

    def __repr__(self):
        names = [f.name for f in fields(self) if f.name != "weights"]
        shown = [f"{name}={value!r}" for name, value in zip(names, self._numbers(), strict=True)]
        if self.weights is not None:
            shown.append(f"weights=array {self.weights.shape}")
        return f"{type(self).__name__}({', '.join(shown)})"

    def _numbers(self):
        return tuple(getattr(self, f.name) for f in fields(self) if f.name != "weights")
