"""Learning on Dask: overhead, speed-up, transferred bytes, and the loss of a worker.

``python -m demos.bench distributed`` learns 64 atoms from photographs without Dask, and on one and
two worker processes of one core each; all must learn the same atoms. ``--many`` measures the overhead
of a pass with very small pictures on clusters of, say, 10 or 100 workers in this process. ``--kills``
kills a worker at a random time of a fit, and repeats this. docs/distributed.md reports the figures;
``python -m demos.bench blocks`` codes one large picture.
"""

import argparse
import os
import random
import signal
from contextlib import contextmanager
from threading import Timer
from time import perf_counter, process_time

import numpy as np

import csc
from csc.distributed import fit
from demos._arguments import integer
from demos.bench.report import print_json
from demos.bench.signals import mosaic

N_ATOMS, LMBDA, PASSES = 64, 0.1, 3


@contextmanager
def cluster(n_workers, *, processes=True):
    """Yield the client of a cluster of ``n_workers`` workers of one core each."""
    import dask
    from dask.distributed import Client, LocalCluster

    arguments = {"n_workers": n_workers, "threads_per_worker": 1, "processes": processes}
    settings = {"distributed.scheduler.allowed-failures": 1000}
    if not processes:  # many in one process: no memory limit and no profiler for each
        arguments["memory_limit"] = None
        settings["distributed.worker.profile.enabled"] = False
    with (
        dask.config.set(settings),
        LocalCluster(dashboard_address=":0", **arguments) as local,
        Client(local) as client,
    ):
        client.wait_for_workers(n_workers)
        yield client


def learner(**parameters):
    """Return a learner of `N_ATOMS` atoms 8 x 8 in batch mode."""
    options = {"lmbda": LMBDA, "max_iter": PASSES, "tol": 0, "random_state": 0, "batch_size": None}
    return csc.DictionaryLearning(N_ATOMS, (8, 8), **options | parameters)


def timed(function, *arguments, **parameters):
    """Return the seconds of a call, and its return value."""
    start = perf_counter()
    result = function(*arguments, **parameters)
    return perf_counter() - start, result


def cpu_seconds():
    """Return the processor time of this process and its children."""
    import psutil

    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def received_bytes(client):
    """Return the bytes that workers received from other workers since they started."""

    def count(dask_worker):
        return sum(transfer["total"] for transfer in dask_worker.transfer_incoming_log)

    return sum(client.run(count).values())


def compare(n, side):
    """Learn without Dask, on one worker and on two; print seconds, efficiency and bytes."""
    import dask.array as da
    import numba

    picture = mosaic(2048)[0]
    corners = np.random.default_rng(0).integers(2048 - side, size=(n, 2)).tolist()
    # neighbours differ in size, so each is a group of its own (groups hold equal sizes)
    X = [picture[:, i : i + side, j : j + side - k % 2] for k, (i, j) in enumerate(corners)]
    learner(max_iter=2).fit(tiny_pictures(4))  # compiles, into the cache of all processes
    cores = numba.get_num_threads()
    for threads in (cores, 1):
        numba.set_num_threads(threads)
        start = cpu_seconds()
        alone, model = timed(learner().fit, X)
        cpu_alone = cpu_seconds() - start
        case = {"bench": "distributed", "case": f"{n} pictures {side}x{side}"}
        print_json(**case, method="csc.fit", threads=threads, seconds=alone, cpu_seconds=cpu_alone)
    numba.set_num_threads(cores)
    seconds_one_worker = None
    for workers in (1, 2):
        with cluster(workers) as client:
            fit(
                learner(max_iter=2), tiny_pictures(4 * workers), client=client
            )  # workers load the kernels
            chunked, before = [da.from_array(x, chunks=-1) for x in X], received_bytes(client)
            start = cpu_seconds()
            seconds, found = timed(fit, learner(), chunked, client=client)
            used, moved = cpu_seconds() - start, received_bytes(client) - before
        seconds_one_worker = seconds_one_worker or seconds
        statistics = found.state_.statistics
        print_json(
            **case, method="csc.distributed.fit", workers=workers, seconds=seconds,
            ratio_to_alone=seconds / alone, efficiency=seconds_one_worker / (workers * seconds),
            cpu_seconds=used, cpu_ratio_to_alone=used / cpu_alone,
            same_atoms=bool((found.atoms_ == model.atoms_).all()),
            mb_between_workers_per_pass=moved / PASSES / 1e6,
            mb_to_client_per_pass=(statistics.phi.nbytes + statistics.psi.nbytes) / 1e6,
        )  # fmt: skip


def tiny_pictures(n):
    """Return pictures of very little work; neighbours differ in size, so each is a group."""
    picture = mosaic(256)[0]
    return [picture[:, :24, : 24 + i % 2] for i in range(n)]


def overhead(workers, groups_per_worker=4):
    """Print the processor time of a pass over tiny pictures, on workers in this process."""
    X, seconds = tiny_pictures(workers * groups_per_worker), {}
    with cluster(workers, processes=False) as client:
        for passes in (1, 2, 4):  # the first is a warm-up
            start = process_time()
            fit(learner(max_iter=passes), X, client=client)
            seconds[passes] = process_time() - start
    on_dask = (seconds[4] - seconds[2]) / 2
    for passes in (2, 4):
        start = process_time()
        learner(max_iter=passes).fit(X)
        seconds[passes] = process_time() - start
    alone = (seconds[4] - seconds[2]) / 2
    print_json(
        bench="distributed", case=f"{workers} workers in one process, {len(X)} groups",
        cpu_seconds_per_pass=on_dask, cpu_seconds_per_pass_alone=alone,
        overhead_ms_per_group=1e3 * (on_dask - alone) / len(X),
    )  # fmt: skip


def kill(n_kills, seed):
    """Kill a worker at a random time of a fit, ``n_kills`` times; print whether atoms agree."""
    X, rng = tiny_pictures(12), random.Random(seed)
    alone, n_same, fit_seconds = learner(max_iter=8).fit(X), 0, None
    for number in range(n_kills):
        with cluster(2) as client:  # a new one: a nanny does not always restart a worker
            fit(learner(max_iter=2), X, client=client)  # loads kernels
            if fit_seconds is None:
                fit_seconds, _ = timed(fit, learner(max_iter=8), X, client=client)
            victim = rng.choice(sorted(client.run(os.getpid).values()))
            timer = Timer(rng.uniform(0, fit_seconds), os.kill, (victim, signal.SIGKILL))
            timer.start()
            seconds, found = timed(fit, learner(max_iter=8), X, client=client)
            killed = timer.finished.is_set()
            timer.cancel()
        n_same += bool((found.atoms_ == alone.atoms_).all())
        print_json(
            bench="distributed", case="a worker is killed", number=number,
            kill_after_seconds=timer.interval, seconds_without_kill=fit_seconds, seconds=seconds,
            killed_during_fit=killed, same_atoms_so_far=n_same,
        )  # fmt: skip


def main(argv):
    parser = argparse.ArgumentParser(prog="python -m demos.bench distributed", description=__doc__)
    parser.add_argument("--images", type=integer(1), default=8)
    parser.add_argument("--side", type=integer(1), default=1023)
    parser.add_argument(
        "--many", type=integer(1), nargs="+", help="numbers of workers in this process"
    )
    parser.add_argument("--kills", type=integer(1), help="number of killed workers")
    parser.add_argument("--seed", type=integer(0, 2**32 - 1), default=0, help="random seed (0)")
    args = parser.parse_args(argv)
    if args.kills:
        kill(args.kills, args.seed)
    for workers in args.many or []:
        overhead(workers)
    if not args.kills and not args.many:
        compare(args.images, args.side)
