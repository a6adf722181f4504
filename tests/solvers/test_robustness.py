"""Interrupts, extreme values and degenerate problems, for every solver of signals."""

import _thread
import gc
import signal
import threading
from contextlib import nullcontext

import numpy as np
import pytest

import csc
from csc.operators import SparseCodes
from csc.solvers._active_set import ActiveSet
from reference import lasso as naive

LASSO = [
    csc.solvers.WorkingSet(),
    csc.solvers.FISTA(),
    csc.solvers.ISTA(),
    csc.solvers.GreedyFISTA(),
    csc.solvers.ADMM(),
]
EVERY = pytest.mark.parametrize("solver", LASSO, ids=lambda s: type(s).__name__)


def problem(rng, penalty=None, scale=1.0, dtype="float64", atoms=None):
    atoms = rng.standard_normal((3, 1, 3, 2)) if atoms is None else atoms
    x = scale * rng.standard_normal((2, 1, 8, 8))
    penalty = csc.L1(csc.Relative(0.1)) if penalty is None else penalty
    return csc.Problem(x.astype(dtype), csc.Dictionary(atoms.astype(dtype), "circular"), penalty)


@pytest.mark.parametrize("solver", [*LASSO, csc.solvers.ConvOMP(9)], ids=lambda s: type(s).__name__)
def test_an_interrupt_leaves_usable_codes_with_a_true_objective(solver, rng):
    p = problem(rng, csc.L0(1e-3) if isinstance(solver, csc.solvers.ConvOMP) else None)

    def interrupt(_progress):
        raise KeyboardInterrupt

    solution = csc.solve(p, solver, tol=1e-14, callback=interrupt)
    assert solution.status is csc.solvers.Status.INTERRUPTED
    assert not solution.converged
    fit = p.dictionary(solution.codes, p.x.shape[2:])
    penalty = p.penalty.value(solution.codes)
    assert solution.objective == pytest.approx(0.5 * ((p.x - fit) ** 2).sum() + penalty)


@pytest.fixture
def no_collector():
    """Callbacks of the garbage collector swallow what is raised in them, interrupts too."""
    gc.disable()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever others left
    yield
    signal.signal(signal.SIGINT, before)
    gc.enable()


@pytest.mark.usefixtures("no_collector")
def test_a_real_ctrl_c_amid_the_kernels_leaves_usable_codes():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, 1, 256, 256)).astype("float32")
    atoms = rng.standard_normal((16, 1, 8, 8)).astype("float32")
    p = csc.Problem(x, csc.Dictionary(atoms), csc.L1(csc.Relative(0.02)))
    csc.solve(p, tol=0.5)  # compiled
    done = threading.Event()

    def press():  # again, if in vain: compiled code clears errors now and then, interrupts too
        pause = 0.3
        while not done.wait(pause):
            _thread.interrupt_main()
            pause = 3.0

    fingers = threading.Thread(target=press)
    fingers.start()
    solution = csc.solve(p, tol=1e-14)
    done.set()
    fingers.join()
    assert solution.status is csc.solvers.Status.INTERRUPTED
    assert 0 < solution.gap < np.inf
    again = csc.solve(p, init=solution.codes, tol=0.9 * solution.relative_gap)
    assert again.objective <= solution.objective * (1 + 1e-6)


@pytest.mark.slow
@EVERY
@pytest.mark.parametrize("scale", [1e-10, 1e10])
def test_codes_scale_with_the_signals(solver, scale, rng):
    p = problem(rng, dtype="float32")
    q = csc.Problem(p.x * np.float32(scale), p.dictionary, csc.L1(csc.Relative(0.1)))
    a, b = (csc.solve(each, solver, tol=1e-3, max_iter=20_000) for each in (p, q))
    assert a.converged
    assert b.converged
    assert b.objective == pytest.approx(scale**2 * a.objective, rel=2e-3)
    assert np.isfinite(b.codes).all()


@pytest.mark.parametrize("scale", [1e-40, 1e30])
def test_values_that_cannot_be_squared_are_refused(scale, rng):
    with pytest.raises(ValueError, match="cannot square; rescale x"):
        problem(rng, scale=scale, dtype="float32")


@EVERY
def test_a_zero_signal_and_a_lmbda_above_all_give_zeros(solver, rng):
    p = problem(rng)
    top = csc.lmbda_max(p.x, p.dictionary)
    for x, lmbda in ((np.zeros_like(p.x), 0.5), (p.x, 1.01 * top)):
        silent = pytest.warns(UserWarning, match="lmbda_max = ") if x.any() else nullcontext()
        with silent:
            solution = csc.solve(csc.Problem(x, p.dictionary, csc.L1(lmbda)), solver)
        assert not solution.codes.any()
        assert solution.converged
        assert solution.gap == pytest.approx(0, abs=1e-12)


@EVERY
def test_a_constant_image_and_an_atom_of_zeros(solver, rng):
    atoms = rng.standard_normal((3, 1, 3, 2))
    atoms[1] = 0
    p = problem(rng, csc.L1(0.5), atoms=atoms)
    p = csc.Problem(np.ones_like(p.x), p.dictionary, csc.L1(0.5))
    solution = csc.solve(p, solver, tol=1e-8, max_iter=50_000)
    assert solution.converged
    assert not solution.codes[:, 1].any()
    M = naive.synthesis_matrix(atoms, (8, 8), "circular")
    r = p.x[0].ravel() - M @ solution.codes[0].ravel()
    assert abs(M.T @ r).max() <= 0.5 * (1 + 1e-3)


def test_a_lmbda_of_zero_is_least_squares_and_says_what_it_cannot_certify(rng):
    p = problem(rng, csc.L1(0.0))
    solution = csc.solve(p, max_iter=3000)
    assert solution.objective < 1e-3 * (0.5 * (p.x**2).sum())
    assert solution.gap >= solution.objective * (1 - 1e-9) or solution.converged


@pytest.mark.slow
@pytest.mark.parametrize("solver", LASSO[:-1], ids=lambda s: type(s).__name__)
def test_what_lies_under_the_mask_means_nothing(solver, rng):
    p, mask = problem(rng), rng.random((8, 8)) < 0.6
    answers = []
    for value in (0.0, np.nan, np.inf, 1e300):
        x = np.where(mask, p.x, value)
        q = csc.Problem(x, p.dictionary, csc.L1(0.3), mask)
        answers.append(csc.solve(q, solver, tol=1e-3, max_iter=500).codes)
    for other in answers[1:]:
        np.testing.assert_array_equal(answers[0], other)
    with pytest.raises(ValueError, match="x holds inf"):
        csc.Problem(np.where(mask, p.x, np.inf), p.dictionary, csc.L1(0.3))


def test_the_local_dual_is_that_of_its_dense_transcription(rng):
    p = problem(rng, csc.L1(0.3))
    codes = csc.solve(p, tol=0.3).codes
    active = ActiveSet(p, SparseCodes.of(codes), "float64")
    gap = active.certificate()[1]
    M = naive.synthesis_matrix(p.dictionary.atoms, (8, 8), "circular")
    cover = naive.synthesis_matrix(np.ones((1, 1, 3, 2)), (8, 8), "circular") != 0
    for n in range(2):
        z = codes[n].ravel()
        expected = naive.local_lasso_gap(M, cover, p.x[n].ravel(), z, 0.3)
        assert gap[n] == pytest.approx(expected)


PARTS = {
    "penalty": csc.L1,
    "constraint": csc.constraints.UnitBall,
    "homeostasis": csc.learning.HomeostaticGain,
}


@pytest.mark.parametrize("name", PARTS)
def test_a_class_where_an_instance_is_meant_is_refused_by_name(name, rng):
    parts = {"penalty": csc.L1(0.1)} | {name: PARTS[name]}
    learner = csc.DictionaryLearning(3, (4,), **parts)
    with pytest.raises(TypeError, match=f"{name} must be a {name} such as csc"):
        learner.fit(rng.standard_normal((2, 1, 9)))
    if name == "penalty":
        with pytest.raises(TypeError, match="penalty must be a penalty such as"):
            csc.Problem(np.ones((1, 1, 3)), csc.Dictionary(np.ones((1, 1, 3))), csc.L1)


def test_atoms_without_their_channel_axis_are_found_out(rng):
    with pytest.raises(ValueError, match=r"index them as atoms\[:, None\]"):
        csc.sparse_code(rng.standard_normal((1, 1, 9, 9)), rng.standard_normal((3, 4, 4)), 0.1)
