"""One large picture coded by blocks on two Dask workers, to the certified minimum of the whole.

``python -m demos.bench blocks --size 8192`` learns atoms from the tiles of a mosaic of photographs
in a Zarr array, codes the mosaic, and measures the memory of all processes. ``--compare`` codes a
smaller one with and without Dask, to the same relative gap.
"""

import argparse
import tempfile
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread

import csc
from csc.distributed import fit, sparse_code
from demos._arguments import integer, number
from demos.bench.distributed import N_ATOMS, cluster, learner, timed
from demos.bench.report import print_json
from demos.bench.signals import learned_atoms, mosaic

SAMPLING_SECONDS = 0.2  # between two measurements of the memory


class MemoryMonitor(Thread):
    """Record the peak of the resident memory of this process and all its children together."""

    def __init__(self):
        super().__init__(daemon=True)
        self.peak, self.done = 0, Event()

    def run(self):
        import psutil

        while not self.done.wait(SAMPLING_SECONDS):
            processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
            resident = 0
            for process in processes:
                with suppress(psutil.Error):
                    resident += process.memory_info().rss
            self.peak = max(self.peak, resident)


def learn_and_code(size, tile, lmbda, tol):
    """Learn from the tiles of a large picture, then code the picture by blocks."""
    import dask.array as da
    import zarr

    memory = MemoryMonitor()
    memory.start()
    case = {"bench": "blocks", "case": f"{size}x{size}, blocks of {tile}"}
    with tempfile.TemporaryDirectory() as folder, cluster(2) as client:
        path = str(Path(folder) / "picture.zarr")
        layout = {"shape": (1, 1, size, size), "chunks": (1, 1, tile, tile)}
        zarr.create_array(path, dtype="f4", **layout)[...] = mosaic(size)
        x = da.from_zarr(path)
        corners = [(i, j) for i in range(0, size, tile) for j in range(0, size, tile)]
        tiles = [x[0, :, i : i + tile, j : j + tile] for i, j in corners]
        model = learner(max_iter=1, batch_size=8, lmbda=lmbda)
        seconds, _ = timed(fit, model, tiles, client=client)
        objectives = [record.objective for record in model.history_]
        print_json(
            **case,
            method="learned",
            seconds=seconds,
            objectives=objectives,
            peak_gb=memory.peak / 1e9,
        )
        seconds, found = timed(sparse_code, x, model.atoms_, lmbda, tol=tol, client=client)
        rounds = [[record.seconds, record.gap / record.objective] for record in found.history]
        print_json(
            **case, method="coded", seconds=seconds, objective=found.objective, gap=found.gap,
            relative_gap=found.relative_gap, rounds=rounds, peak_gb=memory.peak / 1e9,
        )  # fmt: skip
    memory.done.set()


def compare(size, tile, fraction, tol):
    """Code by blocks on two workers, and by `csc.sparse_code`."""
    import dask.array as da

    x, atoms = mosaic(size), learned_atoms(N_ATOMS, 8)
    csc.sparse_code(x[..., :64, :64], atoms, csc.Relative(fraction), tol=tol)  # compiles
    seconds, solution = timed(csc.sparse_code, x, atoms, csc.Relative(fraction), tol=tol)
    lmbda = solution.problem.penalty.lmbda
    case = {"bench": "blocks", "case": f"{size}x{size}, {fraction} lmbda_max, tol {tol}"}
    print_json(**case, method="csc.sparse_code", seconds=seconds, objective=solution.objective)
    with cluster(2) as client:
        chunked = da.from_array(x, chunks=(1, 1, tile, tile))
        sparse_code(chunked[..., :128, :128], atoms, lmbda, block=(64, 64), client=client)
        seconds, found = timed(sparse_code, chunked, atoms, lmbda, tol=tol, client=client)
        rounds = [[record.seconds, record.gap / record.objective] for record in found.history]
        print_json(
            **case, method="csc.distributed.sparse_code", block=tile, seconds=seconds,
            objective=found.objective, relative_gap=found.relative_gap, rounds=rounds,
        )  # fmt: skip


def main(argv):
    parser = argparse.ArgumentParser(prog="python -m demos.bench blocks", description=__doc__)
    parser.add_argument("--size", type=integer(1), default=2048)
    parser.add_argument("--tile", type=integer(1), default=1024)
    parser.add_argument("--tol", type=number(0, 1), default=1e-3)
    parser.add_argument("--lmbda", type=number(0), default=0.3)
    parser.add_argument("--compare", action="store_true", help="with and without Dask")
    parser.add_argument(
        "--fraction",
        type=number(0, 1),
        default=0.1,
        help="lmbda as a fraction of lmbda_max, with --compare (0.1)",
    )
    args = parser.parse_args(argv)
    if args.compare:
        compare(args.size, args.tile, args.fraction, args.tol)
    else:
        learn_and_code(args.size, args.tile, args.lmbda, args.tol)
