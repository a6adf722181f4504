"""The solvers of the coding benchmark, of csc and its peers, with the settings they document.

A solver takes ``(x, atoms, lmbda, monitor)``. Iterative solvers pass their codes to the monitor
after every iteration until it returns True; the others are restarted for every tolerance.
"""

import os
import resource
import sys
import sysconfig
from pathlib import Path
from time import perf_counter

import numpy as np

import csc

TOLERANCES = (1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 1e-4, 1e-5, 1e-6)
DICODILE_TOLERANCES = (1e-1, 1e-2, 1e-3, 1e-4)
EVALUATION_RATIO = 1.15  # between the iterations whose codes are evaluated


class Monitor:
    """Record objectives and solver times; the time of evaluations is not counted.

    Parameters
    ----------
    evaluate : callable
        Objective of codes.
    max_seconds : float
        Time limit of a solver; 0 allows one iteration.
    clock : callable
        Seconds of now.
    goal : float
        Objective at which a run ends.
    """

    def __init__(self, evaluate, max_seconds, clock=perf_counter, goal=-np.inf):
        self.evaluate, self.max_seconds = evaluate, max_seconds
        self.clock, self.goal = clock, goal
        self.points = []  # (seconds, objective)
        self.peak = None  # bytes of resident memory
        self.n_calls, self.next_evaluation = 0, 1
        self.start()

    def start(self):
        """Start the time of a run."""
        self.start_time, self.evaluation_seconds = self.clock(), 0.0

    def __call__(self, codes):
        """Record time and objective of ``codes()``; return whether to end the run."""
        seconds = self.clock() - self.start_time - self.evaluation_seconds
        self.n_calls += 1
        if self.n_calls >= self.next_evaluation:
            self.peak = self.peak or resident_peak()  # before the evaluation allocates memory
            self.points.append((seconds, self.evaluate(codes())))
            self.next_evaluation = max(self.n_calls + 1, int(EVALUATION_RATIO * self.n_calls))
        self.evaluation_seconds = self.clock() - self.start_time - seconds
        return seconds > self.max_seconds or self.points[-1][1] <= self.goal

    def run_for_each(self, tolerances, run):
        """Time ``run(tol)`` from the start for every tolerance, up to the time limit."""
        for tol in tolerances:
            self.start()
            self.next_evaluation = 0  # evaluate the codes of every run
            if self(run(tol)):
                break


def resident_peak():
    """Return the largest resident memory so far of this process, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage includes the memory of the parent process
        line = next(a for a in status.read_text().splitlines() if a.startswith("VmHWM"))
        return 1024 * int(line.split()[1])
    bytes_per_unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * bytes_per_unit


def code_csc(x, atoms, lmbda, monitor, **problem):
    def run(tol):
        solution = csc.sparse_code(x, atoms, lmbda, tol=tol, **problem)
        return lambda: solution.codes

    monitor.run_for_each(TOLERANCES, run)


def csc_circular(x, atoms, lmbda, monitor):
    code_csc(x, atoms, lmbda, monitor, mode="circular")


def csc_full(x, atoms, lmbda, monitor):
    code_csc(x, atoms, lmbda, monitor)


def csc_positive(x, atoms, lmbda, monitor):
    code_csc(x, atoms, lmbda, monitor, positive=True)


def code_sporco(module, x, atoms, lmbda, monitor, **options):
    """Run a solver of sporco, with atoms (H, W, C, K) and codes (H, W, 1, 1, K)."""

    def callback(solver):
        return monitor(lambda: np.moveaxis(solver.getmin()[:, :, 0, 0], -1, 0)[None])

    settings = {"Verbose": False, "MaxMainIter": 10**6, "RelStopTol": 0.0, "DataType": x.dtype}
    settings |= {"FastSolve": True, "Callback": callback} | options
    d, signal = np.moveaxis(atoms, (0, 1), (-1, -2)), np.moveaxis(x[0], 0, -1)
    if x.shape[1] == 1:
        d, signal = d[:, :, 0], signal[:, :, 0]
    monitor.start()
    module.ConvBPDN(d, signal, lmbda, module.ConvBPDN.Options(settings)).solve()


def sporco_admm(x, atoms, lmbda, monitor):
    from sporco.admm import cbpdn

    auto = {"Enabled": True, "Period": 1, "AutoScaling": True, "RsdlRatio": 1.2, "Scaling": 1000.0}
    code_sporco(
        cbpdn, x, atoms, lmbda, monitor, AutoRho=auto, rho=50 * lmbda + 0.5, RelaxParam=1.8,
        LinSolveCheck=False, HighMemSolve=True,
    )  # fmt: skip


def sporco_pgm(x, atoms, lmbda, monitor):
    from sporco.pgm import backtrack, cbpdn

    code_sporco(cbpdn, x, atoms, lmbda, monitor, L=50.0, Backtrack=backtrack.BacktrackStandard())


def scico_admm(x, atoms, lmbda, monitor):
    import jax.numpy as jnp
    from scico import functional, linop, loss
    from scico.optimize.admm import ADMM, FBlockCircularConvolveSolver

    monitor.start()
    shape = (len(atoms), *x.shape[2:])
    convolve = linop.CircularConvolve(jnp.asarray(atoms[:, 0]), shape, ndims=2)
    fit = loss.SquaredL2Loss(y=jnp.asarray(x[0, 0]), A=linop.Sum(shape, axis=0) @ convolve)
    solver = ADMM(
        fit, [lmbda * functional.L1Norm()], [linop.Identity(shape)], [50 * lmbda + 0.5],
        alpha=1.8, maxiter=1, subproblem_solver=FBlockCircularConvolveSolver(check_solve=False),
    )  # fmt: skip
    while not monitor(lambda: np.asarray(solver.z_list[0])[None]):
        solver.step()
        solver.z_list[0].block_until_ready()


def alphacsc_lgcd(x, atoms, lmbda, monitor):
    from alphacsc.update_z_multi import update_z_multi

    def run(tol):
        arguments = {"tol": tol, "max_iter": 10**8}
        codes = update_z_multi(x, atoms, lmbda, solver="lgcd", solver_kwargs=arguments)[0]
        return lambda: codes

    monitor.run_for_each(TOLERANCES, run)


def code_dicodile(x, atoms, lmbda, monitor, n_workers):
    """Run dicodile, which starts its worker processes for each run, through MPI."""
    os.environ["PATH"] = f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}"
    from dicodile.update_z.dicod import dicod

    x, atoms = x[0].astype("float64"), atoms.astype("float64")  # the only type it supports

    def run(tol):
        result = dicod(x, atoms, lmbda, n_workers=n_workers, w_world=n_workers, tol=tol)
        return lambda: result[0][None]

    monitor.run_for_each(DICODILE_TOLERANCES, run)


def dicodile_alone(x, atoms, lmbda, monitor):
    code_dicodile(x, atoms, lmbda, monitor, 1)


def dicodile_two(x, atoms, lmbda, monitor):
    code_dicodile(x, atoms, lmbda, monitor, 2)


# For each kind of problem: name, package and function of each solver, csc first.
IMAGES = {
    "csc": ("csc", csc_circular),
    "sporco ADMM": ("sporco", sporco_admm),
    "sporco PGM": ("sporco", sporco_pgm),
    "scico ADMM": ("scico", scico_admm),
}
INSIDE = {
    "csc": ("csc", csc_full),
    "dicodile, 1 worker": ("dicodile", dicodile_alone),
    "dicodile, 2 workers": ("dicodile", dicodile_two),
}
SERIES = {"csc": ("csc", csc_positive), "alphacsc LGCD": ("alphacsc", alphacsc_lgcd)}
