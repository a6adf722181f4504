"""Weights of samples."""

from csc._validation import check_floats


def checked_weights(weights):
    """Weights of samples as a finite array >= 0, or None."""
    if weights is None:
        return None
    weights = check_floats("weights", weights, hint="give samples that do not count the weight 0")
    if (weights < 0).any():
        raise ValueError(f"weights must be >= 0, got {float(weights.min()):.3g}")
    return weights
