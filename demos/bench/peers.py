"""The solvers of the coding benchmark: ours and the peers', each with the settings it documents.

A solver takes ``(x, atoms, lmbda, watch)``. Iterative ones show their codes to the watch after
every iteration and go on until it says stop; the others are run afresh for every tolerance.
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


class Watch:
    """A clock that stands still while codes are judged.

    Parameters
    ----------
    judge : callable
        Objective of codes.
    limit : float
        Seconds after which a solver is told to stop; 0 lets it make one step.
    """

    def __init__(self, judge, limit):
        self.judge, self.limit = judge, limit
        self.points, self.peak, self.count, self.next = [], None, 0, 1
        self.start()

    def start(self):
        """Begin a run."""
        self.start_time, self.away = perf_counter(), 0.0

    def __call__(self, codes):
        """Note time and objective; ``codes`` is a function, so that idle looks cost nothing."""
        now, self.count = perf_counter() - self.start_time - self.away, self.count + 1
        if self.count >= self.next:
            self.peak = self.peak or resident_peak()  # before judging needs memory of its own
            self.points.append((now, self.judge(codes())))
            self.next = max(self.count + 1, int(1.15 * self.count))
        self.away = perf_counter() - self.start_time - now
        return now > self.limit

    def each(self, budgets, run):
        """Time ``run(budget)`` from cold for every budget, until the limit."""
        for budget in budgets:
            self.start()
            self.next = 0  # every run's codes are judged
            if self(run(budget)):
                break


def resident_peak():
    """Largest resident memory so far of this process, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would start from what the parent had
        line = next(a for a in status.read_text().splitlines() if a.startswith("VmHWM"))
        return 1024 * int(line.split()[1])
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def code_csc(x, atoms, lmbda, watch, **problem):
    def run(tol):
        solution = csc.sparse_code(x, atoms, lmbda, tol=tol, **problem)
        return lambda: solution.codes

    watch.each(TOLERANCES, run)


def csc_circular(x, atoms, lmbda, watch):
    code_csc(x, atoms, lmbda, watch, mode="circular")


def csc_full(x, atoms, lmbda, watch):
    code_csc(x, atoms, lmbda, watch)


def csc_positive(x, atoms, lmbda, watch):
    code_csc(x, atoms, lmbda, watch, positive=True)


def code_sporco(module, x, atoms, lmbda, watch, **options):  # noqa: PLR0913
    """sporco's solvers want (H, W, C, K) atoms and make (H, W, 1, 1, K) codes."""

    def look(solver):
        return watch(lambda: np.moveaxis(solver.getmin()[:, :, 0, 0], -1, 0)[None])

    settings = {"Verbose": False, "MaxMainIter": 10**6, "RelStopTol": 0.0, "DataType": x.dtype}
    settings |= {"FastSolve": True, "Callback": look} | options
    d, signal = np.moveaxis(atoms, (0, 1), (-1, -2)), np.moveaxis(x[0], 0, -1)
    if x.shape[1] == 1:
        d, signal = d[:, :, 0], signal[:, :, 0]
    watch.start()
    module.ConvBPDN(d, signal, lmbda, module.ConvBPDN.Options(settings)).solve()


def sporco_admm(x, atoms, lmbda, watch):
    from sporco.admm import cbpdn

    auto = {"Enabled": True, "Period": 1, "AutoScaling": True, "RsdlRatio": 1.2, "Scaling": 1000.0}
    code_sporco(
        cbpdn, x, atoms, lmbda, watch, AutoRho=auto, rho=50 * lmbda + 0.5, RelaxParam=1.8,
        LinSolveCheck=False, HighMemSolve=True,
    )  # fmt: skip


def sporco_pgm(x, atoms, lmbda, watch):
    from sporco.pgm import backtrack, cbpdn

    code_sporco(cbpdn, x, atoms, lmbda, watch, L=50.0, Backtrack=backtrack.BacktrackStandard())


def scico_admm(x, atoms, lmbda, watch):
    import jax.numpy as jnp
    from scico import functional, linop, loss
    from scico.optimize.admm import ADMM, FBlockCircularConvolveSolver

    watch.start()
    shape = (len(atoms), *x.shape[2:])
    convolve = linop.CircularConvolve(jnp.asarray(atoms[:, 0]), shape, ndims=2)
    fit = loss.SquaredL2Loss(y=jnp.asarray(x[0, 0]), A=linop.Sum(shape, axis=0) @ convolve)
    solver = ADMM(
        fit, [lmbda * functional.L1Norm()], [linop.Identity(shape)], [50 * lmbda + 0.5],
        alpha=1.8, maxiter=1, subproblem_solver=FBlockCircularConvolveSolver(check_solve=False),
    )  # fmt: skip
    while not watch(lambda: np.asarray(solver.z_list[0])[None]):
        solver.step()
        solver.z_list[0].block_until_ready()


def alphacsc_lgcd(x, atoms, lmbda, watch):
    from alphacsc.update_z_multi import update_z_multi

    def run(tol):
        arguments = {"tol": tol, "max_iter": 10**8}
        codes = update_z_multi(x, atoms, lmbda, solver="lgcd", solver_kwargs=arguments)[0]
        return lambda: codes

    watch.each(TOLERANCES, run)


def code_dicodile(x, atoms, lmbda, watch, n_workers):
    """Workers are processes that it starts anew for each run, through MPI."""
    os.environ["PATH"] = f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}"
    from dicodile.update_z.dicod import dicod

    x, atoms = x[0].astype("float64"), atoms.astype("float64")  # it knows no other

    def run(tol):
        result = dicod(x, atoms, lmbda, n_workers=n_workers, w_world=n_workers, tol=tol)
        return lambda: result[0][None]

    watch.each((1e-1, 1e-2, 1e-3, 1e-4), run)


def dicodile_alone(x, atoms, lmbda, watch):
    code_dicodile(x, atoms, lmbda, watch, 1)


def dicodile_two(x, atoms, lmbda, watch):
    code_dicodile(x, atoms, lmbda, watch, 2)


# The solvers of each kind of problem, ours first: what they need, and the solver itself.
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
