"""What the tests of learning on Dask share."""


def few_together(monkeypatch, samples):
    """Let groups hold a few signals, so that there are many of them."""
    for module in ("csc.learning._data", "csc.learning._executor", "csc.distributed._dask_data"):
        monkeypatch.setattr(f"{module}.MAX_GROUP_SAMPLES", samples)
