"""Progress bars, shown if ``verbose``."""

from contextlib import contextmanager


def progress_iter(items, unit, *, verbose):
    """Iterate over items, with a progress bar if ``verbose``."""
    if not verbose:
        return items
    from tqdm import tqdm

    return tqdm(items, unit=unit)


@contextmanager
def progress_callback(callback, max_iter, *, verbose):
    """Yield a callback for a solver that also updates a progress bar if ``verbose``."""
    if not verbose:
        yield callback
        return
    from tqdm import tqdm

    with tqdm(total=max_iter, unit="step") as bar:

        def show(now):
            bar.set_postfix_str(
                f"objective {now.objective:.5g}, relative gap {now.relative_gap:.1e}"
            )
            bar.update(now.n_iter - bar.n)
            if callback is not None:
                callback(now)

        yield show
