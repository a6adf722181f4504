"""Every solver next to the transcription of its paper, iterate by iterate."""

import numpy as np
import pytest

import csc
from reference import lasso as naive
from reference import patches


def toy(rng, S=(9, 7), s=(3, 2), k=4, n=2, lmbda=0.7, xp=np):
    c, atoms = 2, rng.standard_normal((k, 2, *s))
    x, D = xp.asarray(rng.standard_normal((n, c, *S))), csc.Dictionary(xp.asarray(atoms))
    return csc.Problem(x, D, csc.L1(lmbda)), naive.synthesis_matrix(atoms, S)


def iterates(solver, problem, z0, n):
    state, out = solver.init(problem, z0), []
    for _ in range(n):
        state = solver.step(problem, state)
        out.append(csc.to_device(state.z, "cpu"))
    return out


@pytest.mark.parametrize("start", ["zeros", "random"])
def test_ista_walks_as_its_paper(start, rng, xp):
    problem, M = toy(rng, xp=xp)
    z0 = np.zeros(problem.code_shape) + (start == "random") * rng.standard_normal(
        problem.code_shape
    )
    L, x = problem.lipschitz(), csc.to_device(problem.x, "cpu")
    ours = iterates(csc.solvers.ISTA(1 / L), problem, xp.asarray(z0), 40)
    for i in range(2):
        theirs = naive.ista(M, x[i].ravel(), z0[i].ravel(), 0.7, L, 40)
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a[i].ravel(), b, atol=1e-12)


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("start", ["zeros", "random"])
def test_fista_walks_as_its_papers(restart, start, rng, xp):
    problem, M = toy(rng, n=1, lmbda=0.3, xp=xp)
    z0 = np.zeros(problem.code_shape) + (start == "random") * rng.standard_normal(
        problem.code_shape
    )
    L, x = problem.lipschitz(), csc.to_device(problem.x, "cpu")
    ours = iterates(csc.solvers.FISTA(1 / L, restart), problem, xp.asarray(z0), 300)
    theirs = naive.fista(M, x.ravel(), z0.ravel(), 0.3, L, 300, restart)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.ravel(), b, atol=1e-9)


def test_restart_does_restart(rng):
    problem, _ = toy(rng, n=1, lmbda=0.3)
    with_restart, without = (
        iterates(csc.solvers.FISTA(restart=r), problem, problem.zeros(), 1000)[-1]
        for r in (True, False)
    )
    assert problem.gap(with_restart) < 0.1 * problem.gap(without)


@pytest.mark.parametrize("solver", [csc.solvers.ISTA(), csc.solvers.FISTA()], ids=repr)
def test_steps_keep_single_precision(solver, rng):
    D = csc.Dictionary(rng.standard_normal((3, 1, 4)).astype("float32"))
    problem = csc.Problem(rng.standard_normal((1, 1, 20)).astype("float32"), D, csc.L1(0.1))
    state = solver.init(problem, problem.zeros())
    for _ in range(20):
        state = solver.step(problem, state)
        assert {a.dtype.name for a in state if isinstance(a, np.ndarray)} == {"float32"}


class OnDevice(np.ndarray):
    """An array that refuses to become a Python number, as if reading it back cost time."""

    def _refuse(self, *_):
        raise AssertionError("host sync inside step")

    __bool__ = __float__ = __int__ = __index__ = item = tolist = _refuse

    def __array_wrap__(self, out, context=None, return_scalar=False):
        return np.asarray(out).view(OnDevice)


class DenseProblem:
    """A lasso that Numba never sees."""

    def __init__(self, rng):
        self.D = rng.standard_normal((6, 9)).view(OnDevice)
        self.x = rng.standard_normal(6).view(OnDevice)

    def synthesize(self, z):
        return self.D @ z

    def prox_grad(self, z, step):
        return self.proximal_step((z, z), (self.D @ z, self.D @ z), 0.0, step)[0]

    def proximal_step(self, codes, fits, momentum, step):
        y, Dy = (a + momentum * (a - b) for a, b in (codes, fits))
        v = y - step * (self.D.T @ (Dy - self.x))
        z = np.sign(v) * np.maximum(abs(v) - step * 0.1, 0)
        return z, ((y - z) * (z - codes[0])).sum()


@pytest.mark.parametrize("solver", [csc.solvers.ISTA(0.02), csc.solvers.FISTA(0.02)], ids=repr)
def test_no_step_reads_the_device_back(solver, rng):
    problem, z = DenseProblem(rng), np.zeros(9).view(OnDevice)
    state = solver.init(problem, z)
    for _ in range(30):
        state = solver.step(problem, state)
    assert isinstance(state.z, OnDevice)


def test_the_sync_probe_catches_a_sync(rng):
    with pytest.raises(AssertionError, match="host sync"):
        bool(rng.standard_normal(3).view(OnDevice).sum() > 0)


def patch_problem(rng, penalty, n=30, k=20, dtype="float64"):
    D = csc.constraints.UnitBall().project(rng.standard_normal((k, 1, 4, 3)))
    x = rng.standard_normal((n, 1, 4, 3))
    return csc.Problem(x.astype(dtype), csc.Dictionary(D.astype(dtype)), penalty)


@pytest.mark.parametrize(
    ("penalty", "name"),
    [
        (csc.L1(0.1), "WorkingSet"),
        (csc.L1(0.1, weights=np.ones((20, 1, 1))), "WorkingSet"),
        (csc.L1(0.1, weights=np.ones((30, 20, 1, 1))), "WorkingSet"),
        (csc.L0(0.1), "OMP"),
        (csc.LogPenalty(0.1), "CoordinateDescent"),
    ],
    ids=["l1", "weighted", "by signal", "l0", "log"],
)
def test_solve_picks_the_fastest_that_suits(penalty, name, rng):
    from csc.solvers import fastest

    assert type(fastest(patch_problem(rng, penalty))).__name__ == name


def test_fastest_is_the_first_that_can_certify(rng):
    from csc.solvers import fastest

    problem, _ = toy(rng)
    assert isinstance(fastest(problem), csc.solvers.WorkingSet)
    x, atoms = problem.x, problem.dictionary.atoms
    circular = csc.Problem(x, csc.Dictionary(atoms, "circular"), csc.L1(0.1))
    assert isinstance(fastest(circular), csc.solvers.WorkingSet)
    free = csc.Problem(x, problem.dictionary, csc.L1(0.0))
    assert isinstance(fastest(free), csc.solvers.FISTA)
    patches = patch_problem(rng, csc.L1(0.1))
    masked = csc.Problem(patches.x, patches.dictionary, csc.L1(0.1), np.ones((4, 3)))
    assert isinstance(fastest(masked), csc.solvers.WorkingSet)


def test_coordinate_descent_agrees_with_a_grid(rng):
    penalty = csc.LogPenalty(0.05, scale=0.5)
    problem = patch_problem(rng, penalty, n=3, k=5)
    gram, q, _ = problem.structure.gram_form
    grid = np.arange(-4, 4, 2e-4)
    ours = csc.solve(problem, tol=1e-10).codes.reshape(3, 5)
    for i in range(3):
        naive_code = naive.log_penalised_code(gram, q[i], np.zeros(5), 0.05, 0.5, 100, grid)
        np.testing.assert_allclose(ours[i], naive_code, atol=1e-3)


def test_coordinate_descent_ends_where_a_prox_step_stays(dtype, rng):
    problem = patch_problem(rng, csc.LogPenalty(0.3, scale=0.3), dtype=dtype)
    solution = csc.solve(problem, tol=1e-6, max_iter=50)
    assert solution.converged
    moved = problem.prox_grad(solution.codes, 0.5 / problem.lipschitz()) - solution.codes
    assert abs(moved).max() < (1e-4 if dtype == "float32" else 1e-6)


def test_omp_obeys_each_of_its_stopping_rules(rng):
    problem = patch_problem(rng, csc.L0(0.0))
    few = csc.solve(problem, csc.solvers.OMP(n_nonzero=3)).codes
    assert ((few != 0).sum(axis=1) == 3).all()
    close = csc.solve(problem, csc.solvers.OMP(max_squared_residual=0.5)).codes
    energies = (problem.residual(close) ** 2).sum(axis=(1, 2, 3))
    assert (energies <= 0.5).all()
    assert ((close != 0).sum(axis=1) < 12).any()


@pytest.mark.parametrize("rules", [(0.0, 3, 0.0), (0.0, 40, 0.5), (0.2, 40, 0.0)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(2, 4, 3), (1, 9)])
def test_omp_with_a_mask_is_dense_omp_on_what_was_seen(rng, shape, dtype, rules):
    lmbda, n_nonzero, energy = rules
    atoms = rng.standard_normal((40, *shape)).astype(dtype)  # of several norms
    atoms[1] = 0
    x = rng.standard_normal((7, *shape)).astype(dtype)
    mask = rng.random(x.shape) < 0.7
    mask[2] = False
    mask[2].flat[[1, 4]] = True
    problem = csc.Problem(
        np.where(mask, x, np.nan).astype(dtype), csc.Dictionary(atoms), csc.L0(lmbda), mask
    )
    solution = csc.solve(problem, csc.solvers.OMP(n_nonzero, max_squared_residual=energy))
    codes = solution.codes.reshape(7, 40)
    assert codes.dtype == dtype
    assert solution.converged
    for z, signal, seen in zip(codes, x, mask, strict=True):
        D, y = (a.astype("float64") for a in (atoms[:, seen].T, signal[seen]))
        theirs = patches.omp(D, y, lmbda, min(n_nonzero, len(y)), energy)
        np.testing.assert_allclose(z, theirs, atol=1e-4 if dtype == "float32" else 1e-9)


def test_one_mask_for_all_signals_may_be_given_once(rng):
    x, D = rng.standard_normal((3, 1, 8)), csc.Dictionary(rng.standard_normal((12, 1, 8)))
    mask = np.arange(8) != 5
    once, each = (
        csc.solve(csc.Problem(x, D, csc.L0(0.1), m)).codes
        for m in (mask[None, None], np.broadcast_to(mask, x.shape))
    )
    np.testing.assert_array_equal(once, each)


def test_omp_with_a_mask_takes_one_of_two_atoms_that_differ_where_nothing_was_seen():
    D = csc.Dictionary(np.array([[[1, 1, 0.5]], [[1, 1, 0.8]]]))
    problem = csc.Problem(np.array([[[1.0, 2, 0]]]), D, csc.L0(0.0), np.array([1, 1, 0]))
    solution = csc.solve(problem, csc.solvers.OMP())
    assert (solution.codes != 0).sum() == 1
    assert solution.converged


def test_omp_pays_for_each_atom_what_it_saves(rng):
    problem = patch_problem(rng, csc.L0(0.2))
    codes = csc.solve(problem).codes
    for i in range(len(codes)):
        z = codes[i].reshape(-1)
        support = np.flatnonzero(z)
        M = problem.dictionary.matrix
        fit, *_ = np.linalg.lstsq(M[support].T, problem.x[i].ravel(), rcond=None)
        np.testing.assert_allclose(z[support], fit, atol=1e-9)  # orthogonal: refitted
        r = problem.x[i].ravel() - M.T @ z
        assert ((M @ r) ** 2 / 2 / (M**2).sum(axis=1) <= 0.2 + 1e-9).all()  # none left that pays


def test_a_solver_that_does_not_suit_says_why(rng):
    with pytest.raises(ValueError, match="OMP cannot solve this problem: it needs an L0 penalty"):
        csc.solve(patch_problem(rng, csc.L1(0.1)), csc.solvers.OMP())
