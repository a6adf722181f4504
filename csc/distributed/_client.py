"""The Dask cluster: its client, the resources of its workers, and named tasks."""

from itertools import count
from typing import NamedTuple
from uuid import uuid4

from csc._memory import available
from csc.learning import TREE_ARITY


class Workers(NamedTuple):
    """Resources of a cluster."""

    number: int
    threads: int  # of the worker with the most threads: so many tasks run in it at once
    memory: float  # bytes; of the worker with the least memory


def client_of(client=None):
    """The given client, or the current one of Dask.

    Raises
    ------
    ImportError
        If Dask is not installed.
    ValueError
        If there is no client.
    """
    try:
        from distributed import default_client
    except ImportError as error:
        raise ImportError(
            "csc.distributed needs dask and distributed; install mlcsc[distributed]"
        ) from error
    if client is not None:
        return client
    try:
        return default_client()
    except ValueError:
        raise ValueError(
            "there is no Dask client; start one (client = dask.distributed.Client()) or pass client"
        ) from None


def workers_of(client):
    """Resources of a client's cluster: `Workers`."""

    def threads_and_memory(dask_scheduler):
        return [(w.nthreads, w.memory_limit) for w in dask_scheduler.workers.values()]

    found = client.run_on_scheduler(threads_and_memory)
    if not found:
        raise ValueError(
            "the Dask cluster has no worker; start one, or wait: client.wait_for_workers"
        )
    threads, limits = zip(*found, strict=True)
    return Workers(len(found), max(threads), min(limit or available() for limit in limits))


class Keys:
    """Names of tasks: operation, fit, round and part."""

    def __init__(self):
        self._fit, self._rounds = uuid4().hex[:8], count()

    def of_round(self):
        """Function ``(what, part) -> key`` that names the tasks of a new round."""
        number = next(self._rounds)
        return lambda what, part=0: (f"csc-{what}-{self._fit}-{number}", part)


def make_task(what, function, name, part, *arguments):
    """Task that calls a function for one part."""
    from dask import delayed

    return delayed(function, pure=False)(*arguments, dask_key_name=name(what, part))


def map_tasks(what, function, name, arguments):
    """One task for each tuple of arguments."""
    return [make_task(what, function, name, i, *some) for i, some in enumerate(arguments)]


def constant_task(value, key):
    """A value as a task, which Dask can repeat if a worker is lost."""
    from dask import delayed

    return delayed(value, name=key, traverse=False)


def single_task(x):
    """A dask array as one task."""
    return x.rechunk(x.shape).to_delayed().item()


def tree_reduce(join, name, leaves):
    """Task that adds up tasks in the tree of `csc.learning.tree_sum`: eight per node."""
    number = 0
    while len(leaves) > 1:
        nodes = []
        for i in range(0, len(leaves), TREE_ARITY):
            nodes.append(make_task("join", join, name, number, *leaves[i : i + TREE_ARITY]))
            number += 1
        leaves = nodes
    return leaves[0]


def gather_lists(client, tasks):
    """Fetch the lists that tasks return, as one list in order."""
    return [one for some in client.gather(submit(client, tasks)[0]) for one in some]


def submit(client, *lists):
    """Futures of lists of tasks, sent as one graph so that the scheduler places them together."""
    flat = [task for tasks in lists for task in tasks]
    futures = iter(client.compute(flat, optimize_graph=False))
    return [[next(futures) for _ in tasks] for tasks in lists]
