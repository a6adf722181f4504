"""Convert results to types that JSON can store."""

from dataclasses import fields, is_dataclass

import numpy as np


def plain(value):
    """Convert dataclasses and arrays to dicts, lists and numbers; NaN and inf to None."""
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value.tolist())
    return None if isinstance(value, float) and not np.isfinite(value) else value
