"""Progress bars, where one asks for them."""

from contextlib import contextmanager

from tqdm import tqdm


def progress_iter(items, unit, *, verbose):
    """The items, and a bar that counts them if one is asked for."""
    return tqdm(items, unit=unit, disable=not verbose)


@contextmanager
def progress_callback(callback, max_iter, *, verbose):
    """The callback, and a bar in front of it if one is asked for."""
    if not verbose:
        yield callback
        return
    with tqdm(total=max_iter, unit="step") as bar:

        def show(now):
            bar.set_postfix_str(
                f"objective {now.objective:.5g}, relative gap {now.relative_gap:.1e}"
            )
            bar.update(now.n_iter - bar.n)
            if callback is not None:
                callback(now)

        yield show
