"""The GPU path beside what the device can do, PyTorch, sporco.cupy and the CPU path.

An iteration of FISTA must at least read the codes, the last codes, and again the new codes, and
write them once; and multiply every code with every sample of its atom twice. The roofline is the
longer of these two at the bandwidth of a copy and the rate of a float32 matrix product, both
measured in this run, TF32 off. The rest: seconds to relative gap 1e-4; the same iteration by
PyTorch's conv2d and conv_transpose2d, and sporco's, where they are installed and see the device;
and learning on both devices.

``--record`` writes what the run found, with device, driver, versions and commit, into docs/gpu.md.
"""

import argparse
import importlib.util
import os
import sys
from importlib.metadata import PackageNotFoundError, version
from math import prod
from pathlib import Path
from time import perf_counter

import numpy as np

import csc
from demos._arguments import integer, number
from demos.bench.report import commit, machine, show
from demos.bench.signals import learned_atoms, mosaic, photograph

PAGE = Path(__file__).parents[2] / "docs" / "gpu.md"
MARK = "<!-- found by `python -m demos.bench gpu --record`; nothing below is written by hand -->\n"
GOAL = 1e-4


def seconds(xp, work, repeats):
    """Least seconds of a call, from when the device is idle to when it is again."""
    wait, least = xp.cuda.get_current_stream().synchronize, float("inf")
    work()
    for _ in range(repeats):
        wait()
        start = perf_counter()
        work()
        wait()
        least = min(least, perf_counter() - start)
    return least


def limits(xp, size):
    """Bytes and float32 operations a second that the device reaches."""
    a, b = xp.ones(64 * size, "float32"), xp.empty(64 * size, "float32")
    side = int((8 * size) ** 0.5)
    m = xp.ones((side, side), "float32")
    out = xp.empty_like(m)
    copy = 2 * a.nbytes / seconds(xp, lambda: xp.copyto(b, a), 10)
    return copy, 2 * side**3 / seconds(xp, lambda: xp.matmul(m, m, out=out), 10)


def roofline(problem, speed):
    """Least seconds of a FISTA iteration, the bytes and operations that it cannot do without."""
    codes = prod(problem.code_shape)
    n_bytes = 4 * (4 * codes + 5 * problem.x.size)
    operations = 2 * 2 * codes * problem.dictionary.atoms[0].size
    return max(n_bytes / speed[0], operations / speed[1]), n_bytes, operations


def iteration(xp, problem, steps):
    """Seconds of a FISTA iteration."""
    solver = csc.solvers.FISTA()
    state = solver.init(problem, problem.zeros())

    def run():
        now = state
        for _ in range(steps):
            now = solver.step(problem, now)

    return seconds(xp, run, 3) / steps


def torch_iteration(problem, steps):
    """Seconds of the same iteration in PyTorch; None without a device."""
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
            slope = conv2d(conv_transpose2d(y, atoms).sub_(x), atoms)
            new = softshrink(y - step_size * slope, step_size * lmbda)
            t, before = (1 + (1 + 4 * t * t) ** 0.5) / 2, t
            z, y = new, new + (before - 1) / t * (new - z)
        torch.cuda.synchronize()

    run()
    times = []
    for _ in range(3):
        start = perf_counter()
        run()
        times.append((perf_counter() - start) / steps)
    return min(times)


def sporco_iteration(problem, steps):
    """Seconds of an iteration of sporco's PGM on the device; None without it."""
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


def case(xp, size, args, speed):
    """One photograph: iteration, roofline, seconds to the goal, peers."""
    x, atoms = photograph(size), learned_atoms(args.atoms, args.side)
    D = csc.Dictionary(csc.to_device(atoms, "gpu"))
    penalty = csc.L1(csc.Relative(args.fraction))
    problem = csc.Problem(csc.to_device(x, "gpu"), D, penalty)
    own, (least, n_bytes, operations) = (
        iteration(xp, problem, args.steps),
        roofline(problem, speed),
    )
    solved = {}

    def solve():
        solved["gap"] = csc.solve(problem, csc.solvers.FISTA(), tol=GOAL).relative_gap

    peers = {
        "torch": torch_iteration(problem, args.steps),
        "sporco": sporco_iteration(problem, args.steps),
    }
    return {
        "case": f"{size}x{size}, {args.atoms} atoms {args.side}x{args.side}",
        "iteration_ms": 1e3 * own,
        "bytes": n_bytes,
        "operations": operations,
        "roofline_ms": 1e3 * least,
        "times_roofline": own / least,
        "seconds_to_goal": seconds(xp, solve, 1),
        "relative_gap": solved["gap"],
        **{f"{name}_ms": None if t is None else 1e3 * t for name, t in peers.items()},
    }


def tiles(number, size):
    """Square pieces of photographs ``(number, 1, size, size)``."""
    across = int(np.ceil(number**0.5))
    whole = mosaic(across * size).reshape(across, size, across, size)
    return np.ascontiguousarray(whole.swapaxes(1, 2).reshape(-1, 1, size, size)[:number])


def learning(xp, args):
    """Seconds of some passes of batch learning on the device and on the CPU."""
    found = {}
    X = tiles(args.images, args.learn_size)
    for device in ("gpu", "cpu"):
        moved = csc.to_device(X, device)

        def fit(moved=moved):
            side = (args.side, args.side)
            how = {"batch_size": None, "max_iter": args.passes, "tol": 0.0, "random_state": 0}
            csc.DictionaryLearning(args.atoms, side, csc.Relative(0.1), **how).fit(moved)

        found[device] = seconds(xp, fit, 1)
    return {
        "case": f"learning, {len(X)} pictures {args.learn_size}x{args.learn_size}",
        "gpu_seconds": found["gpu"], "cpu_seconds": found["cpu"],
        "ratio": found["cpu"] / found["gpu"],
    }  # fmt: skip


def device(xp):
    """Name, driver and versions."""
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
    """Put the results in the place of the last ones; the page is whole or as it was."""
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
    parser.add_argument("--fraction", type=number(0, 1), default=0.05, help="of lmbda_max")
    parser.add_argument("--steps", type=integer(1), default=50, help="timed together")
    parser.add_argument("--images", type=integer(0), default=20, help="to learn from; 0: none")
    parser.add_argument("--learn-size", type=integer(1), default=512)
    parser.add_argument("--passes", type=integer(1), default=3)
    parser.add_argument("--memory", type=integer(1), default=2**23, help="scale of what is copied")
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--page", type=Path, default=PAGE)
    args = parser.parse_args(argv)
    try:
        csc.to_device(np.zeros(1), "gpu")
    except (ImportError, RuntimeError) as error:
        sys.exit(f"{error}; nothing was measured")
    xp, lines = sys.modules["cupy"], []
    about, speed = device(xp), limits(xp, args.memory)
    about |= {"copy_bytes_per_s": speed[0], "float32_per_s": speed[1]}
    for size in args.sizes:
        lines.append(case(xp, size, args, speed))
        show(bench="gpu", **lines[-1], **about)
    if args.images:
        lines.append(learning(xp, args))
        show(bench="gpu", **lines[-1], **about)
    if args.record:
        record(args.page, about, lines)
