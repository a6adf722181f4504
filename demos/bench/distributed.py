"""Learning on Dask: what a worker costs, what two bring, what travels, and who may die.

``python -m demos.bench distributed`` learns 64 atoms from photographs on this machine alone, on one
and on two worker processes, each on one core; all must find the same atoms. ``--many`` fits next to
nothing on clusters of 10 or of 100 workers in this process: what a pass costs beside the work.
``--kills`` shoots a worker at a random moment of a fit, so many times. docs/distributed.md puts the
figures together; ``python -m demos.bench blocks`` codes one large picture.
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
from demos.bench.report import show
from demos.bench.signals import mosaic

N_ATOMS, LMBDA, PASSES = 64, 0.1, 3


@contextmanager
def cluster(n_workers, *, processes=True):
    """A client of so many workers of one core each, all ready."""
    import dask
    from dask.distributed import Client, LocalCluster

    arguments = {"n_workers": n_workers, "threads_per_worker": 1, "processes": processes}
    settings = {"distributed.scheduler.allowed-failures": 1000}
    if not processes:  # many in one process: no shares of its memory, no samples of their stacks
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
    """64 atoms 8 x 8 from all signals at once."""
    given = {"lmbda": LMBDA, "max_iter": PASSES, "tol": 0, "random_state": 0, "batch_size": None}
    return csc.DictionaryLearning(N_ATOMS, (8, 8), **given | parameters)


def timed(work, *arguments, **parameters):
    """Seconds, and what came of it."""
    start = perf_counter()
    result = work(*arguments, **parameters)
    return perf_counter() - start, result


def processor():
    """Seconds of processor time of this process and its children: others do not disturb it."""
    import psutil

    everyone = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return sum(sum(process.cpu_times()[:2]) for process in everyone)


def received(client):
    """Bytes that workers got from workers since they started."""

    def count(dask_worker):
        return sum(one["total"] for one in dask_worker.transfer_incoming_log)

    return sum(client.run(count).values())


def compare(n, side):
    """Alone, on one worker and on two: seconds, efficiency, bytes, and the same atoms."""
    import dask.array as da
    import numba

    whole = mosaic(2048)[0]
    corners = np.random.default_rng(0).integers(2048 - side, size=(n, 2)).tolist()
    # neighbours differ in size: each is a group, which else holds up to 2**20 samples
    X = [whole[:, i : i + side, j : j + side - k % 2] for k, (i, j) in enumerate(corners)]
    learner(max_iter=2).fit(tiny(4))  # compiles, into the cache of all processes
    cores = numba.get_num_threads()
    for threads in (cores, 1):
        numba.set_num_threads(threads)
        start = processor()
        alone, model = timed(learner().fit, X)
        worked = processor() - start
        case = {"bench": "distributed", "case": f"{n} pictures {side}x{side}"}
        show(**case, method="csc.fit", threads=threads, seconds=alone, processor=worked)
    numba.set_num_threads(cores)
    one = None
    for workers in (1, 2):
        with cluster(workers) as client:
            fit(learner(max_iter=2), tiny(4 * workers), client=client)  # all have their kernels
            chunked, before = [da.from_array(x, chunks=-1) for x in X], received(client)
            start = processor()
            seconds, found = timed(fit, learner(), chunked, client=client)
            used, moved = processor() - start, received(client) - before
        one = seconds if one is None else one
        sums = found.state_.statistics
        show(
            **case, method="csc.distributed.fit", workers=workers, seconds=seconds,
            seconds_beside_alone=seconds / alone, efficiency=one / (workers * seconds),
            processor=used, processor_beside_alone=used / worked,
            same_atoms=bool((found.atoms_ == model.atoms_).all()),
            mb_between_workers_a_pass=moved / PASSES / 1e6,
            mb_to_client_a_pass=(sums.phi.nbytes + sums.psi.nbytes) / 1e6,
        )  # fmt: skip


def tiny(n):
    """Pictures of next to no work; neighbours differ in size, so each is a group of its own."""
    whole = mosaic(256)[0]
    return [whole[:, :24, : 24 + i % 2] for i in range(n)]


def overhead(workers, groups_each=4):
    """Processor time of a pass over pictures of next to no work, on workers in this process."""
    X, seconds = tiny(workers * groups_each), {}
    with cluster(workers, processes=False) as client:
        for passes in (1, 2, 4):  # the first is a warm-up
            start = process_time()
            fit(learner(max_iter=passes), X, client=client)
            seconds[passes] = process_time() - start
    a_pass = (seconds[4] - seconds[2]) / 2
    for passes in (2, 4):
        start = process_time()
        learner(max_iter=passes).fit(X)
        seconds[passes] = process_time() - start
    alone = (seconds[4] - seconds[2]) / 2
    show(
        bench="distributed", case=f"{workers} workers in one process, {len(X)} groups",
        processor_a_pass=a_pass, alone_a_pass=alone, ms_a_group=1e3 * (a_pass - alone) / len(X),
    )  # fmt: skip


def kill(times, seed):
    """Shoot a worker at a random moment of a fit, again and again."""
    X, rng = tiny(12), random.Random(seed)
    alone, same, length = learner(max_iter=8).fit(X), 0, None
    for number in range(times):
        with cluster(2) as client:  # its own: a nanny does not always start another worker
            fit(learner(max_iter=2), X, client=client)  # loads kernels
            if length is None:
                length, _ = timed(fit, learner(max_iter=8), X, client=client)
            victim = rng.choice(sorted(client.run(os.getpid).values()))
            gun = Timer(rng.uniform(0, length), os.kill, (victim, signal.SIGKILL))
            gun.start()
            seconds, found = timed(fit, learner(max_iter=8), X, client=client)
            shot = gun.finished.is_set()
            gun.cancel()
        same += bool((found.atoms_ == alone.atoms_).all())
        show(
            bench="distributed", case="a worker is killed", number=number, moment=gun.interval,
            of_seconds=length, took=seconds, in_the_fit=shot, same_atoms_so_far=same,
        )  # fmt: skip


def main(argv):
    parser = argparse.ArgumentParser(prog="python -m demos.bench distributed", description=__doc__)
    parser.add_argument("--images", type=integer(1), default=8)
    parser.add_argument("--side", type=integer(1), default=1023)
    parser.add_argument("--many", type=integer(1), nargs="+", help="workers in this process")
    parser.add_argument("--kills", type=integer(1), help="how many")
    parser.add_argument("--seed", type=integer(0, 2**32 - 1), default=0)
    args = parser.parse_args(argv)
    if args.kills:
        kill(args.kills, args.seed)
    for workers in args.many or []:
        overhead(workers)
    if not args.kills and not args.many:
        compare(args.images, args.side)
