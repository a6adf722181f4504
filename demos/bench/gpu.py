"""csc on a GPU compared with the limits of the device, PyTorch, sporco.cupy and the CPU.

An iteration of FISTA must at least read the codes, the previous codes and the new codes once and
write the new ones, and multiply every code by every sample of its atom twice. The roofline is the
larger of these two times at the bandwidth of a copy and the rate of a float32 matrix product, both
measured in this run without TF32. Also: seconds to a relative gap of 1e-4; the same iteration by
conv2d and conv_transpose2d of PyTorch, and by sporco, where they are installed and support the
device; and learning on the GPU and the CPU.

``--record`` writes the results, with device, driver, versions and commit, into docs/gpu.md.
"""

import argparse
import importlib.util
import os
import sys
from importlib.metadata import PackageNotFoundError, version
from math import prod
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import numpy as np

import csc
from demos._arguments import integer, number
from demos.bench.report import commit, machine, print_json
from demos.bench.signals import learned_atoms, mosaic, photograph

PAGE = Path(__file__).parents[2] / "docs" / "gpu.md"
MARK = "<!-- found by `python -m demos.bench gpu --record`; nothing below is written by hand -->\n"
GOAL = 1e-4  # relative gap


def best_seconds(xp, function, repeats):
    """Return the shortest seconds of a call, between synchronisations of the device."""
    synchronize, shortest = xp.cuda.get_current_stream().synchronize, float("inf")
    function()
    for _ in range(repeats):
        synchronize()
        start = perf_counter()
        function()
        synchronize()
        shortest = min(shortest, perf_counter() - start)
    return shortest


class DeviceLimits(NamedTuple):
    """Measured bandwidth and float32 rate of the device."""

    bytes_per_second: float
    operations_per_second: float


def measure_limits(xp, size):
    """Measure the bandwidth of a copy and the rate of a matrix product."""
    a, b = xp.ones(64 * size, "float32"), xp.empty(64 * size, "float32")
    side = int((8 * size) ** 0.5)
    m = xp.ones((side, side), "float32")
    out = xp.empty_like(m)
    bandwidth = 2 * a.nbytes / best_seconds(xp, lambda: xp.copyto(b, a), 10)
    rate = 2 * side**3 / best_seconds(xp, lambda: xp.matmul(m, m, out=out), 10)
    return DeviceLimits(bandwidth, rate)


def roofline(problem, limits):
    """Return the minimum seconds, bytes and operations of a FISTA iteration."""
    n_codes = prod(problem.code_shape)
    n_bytes = 4 * (4 * n_codes + 5 * problem.x.size)
    operations = 2 * 2 * n_codes * problem.dictionary.atoms[0].size
    seconds = max(n_bytes / limits.bytes_per_second, operations / limits.operations_per_second)
    return seconds, n_bytes, operations


def iteration(xp, problem, steps):
    """Return the seconds of a FISTA iteration of csc."""
    solver = csc.solvers.FISTA()
    state = solver.init(problem, problem.zeros())

    def run():
        current = state
        for _ in range(steps):
            current = solver.step(problem, current)

    return best_seconds(xp, run, 3) / steps


def torch_iteration(problem, steps):
    """Return the seconds of the same iteration in PyTorch; None without a device."""
    if importlib.util.find_spec("torch") is None:
        return None
    import torch
    from torch.nn.functional import conv2d, conv_transpose2d, softshrink

    if not torch.cuda.is_available():
        return None
    x, atoms = (torch.from_numpy(a.get()).cuda() for a in (problem.x, problem.dictionary.atoms))
    step_size, lmbda = 1 / problem.lipschitz(), float(problem.penalty.lmbda)

    @torch.inference_mode()
    def run():
        z = y = torch.zeros(problem.code_shape, device="cuda")
        t = 1.0
        for _ in range(steps):
            gradient = conv2d(conv_transpose2d(y, atoms).sub_(x), atoms)
            new = softshrink(y - step_size * gradient, step_size * lmbda)
            t, t_old = (1 + (1 + 4 * t * t) ** 0.5) / 2, t
            z, y = new, new + (t_old - 1) / t * (new - z)
        torch.cuda.synchronize()

    run()
    times = []
    for _ in range(3):
        start = perf_counter()
        run()
        times.append((perf_counter() - start) / steps)
    return min(times)


def sporco_iteration(problem, steps):
    """Return the seconds of an iteration of PGM of sporco on the device; None without it."""
    try:
        from sporco.cupy import have_cupy
        from sporco.cupy.pgm import cbpdn
    except ImportError:
        return None
    if not have_cupy:
        return None
    x, atoms = problem.x[0, 0], problem.dictionary.atoms[:, 0].transpose(1, 2, 0)
    options = cbpdn.ConvBPDN.Options({"MaxMainIter": steps, "L": 2 * problem.lipschitz()})
    solver = cbpdn.ConvBPDN(atoms, x, float(problem.penalty.lmbda), options)
    solver.solve()
    return solver.timer.elapsed("solve") / steps


def coding(xp, size, args, limits):
    """Return the results for one photograph: iteration, roofline, seconds to the goal, peers."""
    x, atoms = photograph(size), learned_atoms(args.atoms, args.side)
    D = csc.Dictionary(csc.to_device(atoms, "gpu"))
    penalty = csc.L1(csc.Relative(args.fraction))
    problem = csc.Problem(csc.to_device(x, "gpu"), D, penalty)
    seconds = iteration(xp, problem, args.steps)
    min_seconds, n_bytes, operations = roofline(problem, limits)
    solved = {}

    def solve():
        solved["gap"] = csc.solve(problem, csc.solvers.FISTA(), tol=GOAL).relative_gap

    peers = {
        "torch": torch_iteration(problem, args.steps),
        "sporco": sporco_iteration(problem, args.steps),
    }
    return {
        "case": f"{size}x{size}, {args.atoms} atoms {args.side}x{args.side}",
        "iteration_ms": 1e3 * seconds,
        "bytes": n_bytes,
        "operations": operations,
        "roofline_ms": 1e3 * min_seconds,
        "times_roofline": seconds / min_seconds,
        "seconds_to_goal": best_seconds(xp, solve, 1),
        "relative_gap": solved["gap"],
        **{f"{name}_ms": None if t is None else 1e3 * t for name, t in peers.items()},
    }


def tiles(number, size):
    """Return square pieces of photographs ``(number, 1, size, size)``."""
    n_columns = int(np.ceil(number**0.5))
    picture = mosaic(n_columns * size).reshape(n_columns, size, n_columns, size)
    return np.ascontiguousarray(picture.swapaxes(1, 2).reshape(-1, 1, size, size)[:number])


def learning(xp, args):
    """Return the seconds of some passes of batch learning on the GPU and on the CPU."""
    seconds = {}
    X = tiles(args.images, args.learn_size)
    for device in ("gpu", "cpu"):
        moved = csc.to_device(X, device)

        def fit(moved=moved):
            side = (args.side, args.side)
            options = {"batch_size": None, "max_iter": args.passes, "tol": 0.0, "random_state": 0}
            csc.DictionaryLearning(args.atoms, side, csc.Relative(0.1), **options).fit(moved)

        seconds[device] = best_seconds(xp, fit, 1)
    return {
        "case": f"learning, {len(X)} pictures {args.learn_size}x{args.learn_size}",
        "gpu_seconds": seconds["gpu"], "cpu_seconds": seconds["cpu"],
        "ratio": seconds["cpu"] / seconds["gpu"],
    }  # fmt: skip


def device_info(xp):
    """Return name, driver and versions."""
    runtime = xp.cuda.runtime
    name = runtime.getDeviceProperties(0)["name"]
    found = {"device": name.decode() if isinstance(name, bytes) else name}
    found |= {"driver": runtime.driverGetVersion(), "cuda": runtime.runtimeGetVersion()}
    for package in ("mlcsc", "numpy", "torch", "sporco"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found | {"cupy": xp.__version__, "host": machine(), "commit": commit()}


def record(page, about, lines):
    """Replace the results in the page; an interrupted run leaves the page unchanged."""
    text = page.read_text().split(MARK)[0] + MARK
    text += "\n" + "\n".join(f"- {key}: {value}" for key, value in about.items()) + "\n"
    for line in lines:
        text += "\n| " + line.pop("case") + " | |\n| --- | --- |\n"
        values = ((k, f"{v:.4g}" if isinstance(v, float) else v) for k, v in line.items())
        text += "".join(f"| {key} | {value} |\n" for key, value in values)
    part = page.with_suffix(".part")
    part.write_text(text)
    os.replace(part, page)


def main(argv):
    parser = argparse.ArgumentParser(prog="python -m demos.bench gpu", description=__doc__)
    parser.add_argument("--sizes", type=integer(1), nargs="*", default=[512, 2048])
    parser.add_argument("--atoms", type=integer(1), default=64)
    parser.add_argument("--side", type=integer(1), default=8)
    parser.add_argument(
        "--fraction",
        type=number(0, 1),
        default=0.05,
        help="lmbda as a fraction of lmbda_max (0.05)",
    )
    parser.add_argument(
        "--steps", type=integer(1), default=50, help="iterations that are timed together (50)"
    )
    parser.add_argument(
        "--images", type=integer(0), default=20, help="training pictures; 0: none (20)"
    )
    parser.add_argument("--learn-size", type=integer(1), default=512)
    parser.add_argument("--passes", type=integer(1), default=3)
    parser.add_argument(
        "--memory",
        type=integer(1),
        default=2**23,
        help="size of the copied arrays / 256 bytes (8388608)",
    )
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--page", type=Path, default=PAGE)
    args = parser.parse_args(argv)
    try:
        csc.to_device(np.zeros(1), "gpu")
    except (ImportError, RuntimeError) as error:
        sys.exit(f"{error}; nothing was measured")
    xp, lines = sys.modules["cupy"], []
    about, limits = device_info(xp), measure_limits(xp, args.memory)
    about |= {
        "copy_bytes_per_s": limits.bytes_per_second,
        "float32_per_s": limits.operations_per_second,
    }
    for size in args.sizes:
        lines.append(coding(xp, size, args, limits))
        print_json(bench="gpu", **lines[-1], **about)
    if args.images:
        lines.append(learning(xp, args))
        print_json(bench="gpu", **lines[-1], **about)
    if args.record:
        record(args.page, about, lines)
