"""What the tests of learning on Dask share."""

import os
import signal

from dask.distributed import Client

from csc.distributed import fit


def few_together(monkeypatch, samples):
    """Let groups hold a few signals, so that there are many of them."""
    for module in ("csc.learning._data", "csc.learning._executor", "csc.distributed._dask_data"):
        monkeypatch.setattr(f"{module}.MAX_GROUP_SAMPLES", samples)


def fit_while_a_worker_dies(learner, X, n_steps):
    """`fit` on two worker processes, one of which is killed after so many steps."""
    arguments = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    with Client(processes=True, **arguments) as client:
        pids = list(client.run(os.getpid).values())
        keep = learner._save_checkpoint

        def kill(**always):
            if learner.state_.n_steps == n_steps and pids:
                os.kill(pids.pop(), signal.SIGKILL)
            keep(**always)

        learner._save_checkpoint = kill
        found = fit(learner, X, client=client)
    assert not pids[1:]
    return found
