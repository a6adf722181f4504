"""csc.solve: optimality of the solutions, certified gaps, statuses and input checks."""

import numpy as np
import pytest

import csc
from csc.operators import SparseCodes
from reference import lasso as naive


def image_problem(rng, penalty, dtype="float64", mask=None, n=1):
    D = csc.constraints.UnitBall().project(rng.standard_normal((4, 1, 3, 3)))
    x = rng.standard_normal((n, 1, 10, 9))
    return csc.Problem(x.astype(dtype), csc.Dictionary(D.astype(dtype)), penalty, mask)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("solver", "tol", "atol"),
    [
        (None, 1e-9, 1e-4),
        (csc.solvers.FISTA(), 1e-9, 1e-4),
        (csc.solvers.ISTA(), 1e-7, 1e-3),
        (csc.solvers.FISTA(restart=False), 1e-7, 1e-3),
    ],
    ids=repr,
)
def test_the_answer_satisfies_the_optimality_conditions_of_the_dense_lasso(solver, tol, atol, rng):
    problem = image_problem(rng, csc.L1(0.4))
    solution = csc.solve(problem, solver, tol=tol, max_iter=100_000)
    assert solution.converged
    assert solution.relative_gap <= tol
    M = naive.synthesis_matrix(problem.dictionary.atoms, (10, 9))
    z, x = solution.codes.ravel(), problem.x.ravel()
    q = M.T @ (x - M @ z)
    np.testing.assert_allclose(q[z != 0], 0.4 * np.sign(z[z != 0]), atol=atol)
    assert (abs(q) <= 0.4 + atol).all()
    # the local dual point may be better than the scaled residual, and never worse
    assert 0 <= solution.gap <= naive.lasso_gap(M, x, z, 0.4) + 1e-12
    assert solution.objective == pytest.approx(naive.lasso_value(M, x, z, 0.4))


@pytest.mark.parametrize(("dtype", "tol"), [("float32", 1e-5), ("float64", 1e-10)])
def test_precision_is_reached_and_kept(dtype, tol, rng):
    solution = csc.solve(image_problem(rng, csc.L1(0.4), dtype), tol=tol, max_iter=20_000)
    assert solution.converged
    assert solution.codes.dtype == dtype
    assert solution.reconstruction().dtype == dtype


def test_non_negative_codes(rng):
    problem = image_problem(rng, csc.L1(0.2, positive=True))
    solution = csc.solve(problem, tol=1e-9)
    assert (solution.codes >= 0).all()
    q = problem.dictionary.adjoint(problem.residual(solution.codes))
    assert q.max() <= 0.2 + 1e-4
    assert csc.certificates.kkt_violation(
        problem.x, problem.dictionary, solution.codes, problem.penalty
    ) == pytest.approx(0, abs=1e-4)


def test_masked_pixels_do_not_matter(rng):
    mask = rng.random((10, 9)) < 0.6
    problem = image_problem(rng, csc.L1(0.2), mask=mask)
    x = problem.x.copy()
    x[..., ~mask] = np.nan
    holes = csc.Problem(x, problem.dictionary, csc.L1(0.2), mask)
    codes = csc.solve(holes, tol=1e-9).codes
    np.testing.assert_array_equal(codes, csc.solve(problem, tol=1e-9).codes)
    M = naive.synthesis_matrix(problem.dictionary.atoms, (10, 9))[mask.ravel()]
    seen = problem.x[0, 0][mask]
    assert naive.lasso_gap(M, seen, codes.ravel(), 0.2) < 1e-8
    assert not np.allclose(
        codes, csc.solve(image_problem(np.random.default_rng(1), csc.L1(0.2))).codes
    )


def test_gap_bounds_the_distance_to_the_minimum_everywhere(rng):
    problem = image_problem(rng, csc.L1(0.4))
    best = csc.solve(problem, tol=1e-12, max_iter=100_000).objective
    for scale in (0.01, 0.1, 1.0):
        z = scale * rng.standard_normal(problem.code_shape)
        assert problem.gap(z) >= problem.value(z) - best - 1e-10


def test_lmbda_max_is_the_smallest_that_silences_all(rng):
    problem = image_problem(rng, csc.L1(csc.Relative(1.0)))
    top = csc.lmbda_max(problem.x, problem.dictionary)
    assert problem.penalty.lmbda == pytest.approx(top)
    assert not csc.solve(problem, tol=1e-9).codes.any()
    assert csc.solve(image_problem_like(problem, 0.99 * top), tol=1e-9).codes.any()


def image_problem_like(problem, lmbda):
    return csc.Problem(problem.x, problem.dictionary, csc.L1(lmbda))


def test_relative_strength_of_the_counting_penalty(rng):
    x, D = rng.standard_normal((3, 1, 4)), csc.Dictionary(2 * np.eye(4)[:, None])
    problem = csc.Problem(x, D, csc.L0(csc.Relative(0.999)))
    assert problem.penalty.lmbda == pytest.approx(0.999 * (x**2).max() / 2)
    assert (csc.solve(problem).codes != 0).sum() == 1
    with pytest.raises(TypeError, match="no finite lmbda_max"):
        csc.LogPenalty(csc.Relative(0.1))


def test_zero_signals_have_zero_codes(dtype):
    x, D = np.zeros((2, 1, 6), dtype), csc.Dictionary(np.ones((2, 1, 3), dtype))
    for lmbda in (0.0, 1.0):
        solution = csc.solve(csc.Problem(x, D, csc.L1(lmbda)))
        assert not solution.codes.any()
        assert solution.relative_gap == 0
        assert solution.converged


def test_warm_start_at_the_optimum_stops_at_the_first_check(rng):
    problem = image_problem(rng, csc.L1(0.4))
    best = csc.solve(problem, csc.solvers.FISTA(), tol=1e-9)
    again = csc.solve(problem, csc.solvers.FISTA(), tol=1e-8, init=best.codes)
    assert again.n_iter == csc.solvers.FISTA.check_every < best.n_iter


def test_history_message_and_repr_say_what_happened(rng):
    problem = image_problem(rng, csc.L1(0.4))
    solution = csc.solve(problem, csc.solvers.ISTA(), tol=1e-12, max_iter=25)
    assert not solution.converged
    assert "raise max_iter" in solution.message
    assert [line.n_iter for line in solution.history] == [10, 20, 25]
    objectives = [line.objective for line in solution.history]
    assert objectives == sorted(objectives, reverse=True)
    assert "relative_gap" in repr(solution)


def test_sparse_codes_are_the_codes(rng):
    solution = csc.solve(image_problem(rng, csc.L1(0.4), n=2))
    assert solution.sparse_codes.nnz == (solution.codes != 0).sum()
    np.testing.assert_array_equal(solution.sparse_codes.toarray(), solution.codes)


def test_sparse_codes_hold_no_zeros_that_a_solver_stored(rng):
    solution = csc.solve(image_problem(rng, csc.L1(0.4), n=2))
    solution.z.values[::3] = 0
    dense = solution.codes
    assert solution.sparse_codes.nnz == (dense != 0).sum()
    np.testing.assert_array_equal(solution.sparse_codes.toarray(), dense)
    assert f"{(dense != 0).sum()} of {dense.size} codes" in repr(solution)


def test_callback_sees_progress_and_can_stop(rng):
    seen = []

    def stop_at_20(progress):
        seen.append(progress)
        if progress.n_iter == 20:
            raise StopIteration

    problem = image_problem(rng, csc.L1(0.01))
    solution = csc.solve(problem, csc.solvers.FISTA(), tol=0, callback=stop_at_20)
    assert [p.n_iter for p in seen] == [10, 20]
    assert solution.status is csc.solvers.Status.STOPPED
    assert solution.objective == seen[-1].objective


def test_interrupt_leaves_certified_codes(rng):
    def interrupt(_):
        raise KeyboardInterrupt

    problem = image_problem(rng, csc.L1(0.01))
    solution = csc.solve(problem, tol=0, callback=interrupt)
    assert solution.status is csc.solvers.Status.INTERRUPTED
    assert solution.gap == problem.gap(solution.codes)
    assert csc.solve(problem, init=solution.codes).converged


@pytest.mark.parametrize("tol", [0, 1e-12])
def test_an_impossible_tolerance_ends_in_words_not_in_endless_steps(tol, rng):
    x = rng.standard_normal((20, 1, 6)).astype("float32")
    D = csc.Dictionary(rng.standard_normal((9, 1, 6)).astype("float32"))
    solution = csc.solve(csc.Problem(x, D, csc.L1(0.3)), tol=tol)
    assert solution.n_iter < 100
    assert solution.status is csc.solvers.Status.STALLED
    assert solution.relative_gap < 1e-5


def test_codes_without_penalty_end_with_an_honest_status(rng):
    x, D = rng.standard_normal((3, 1, 6)), csc.Dictionary(rng.standard_normal((9, 1, 6)))
    solution = csc.solve(csc.Problem(x, D, csc.L1(0.0)))
    assert solution.message.startswith(("stalled", "converged: the objective is within"))
    assert solution.objective < 1e-12
    assert solution.gap >= solution.objective * 0.99  # true: the minimum is 0


def test_a_solve_that_a_tiny_lmbda_keeps_from_ending_says_so(rng):
    D = csc.Dictionary(rng.standard_normal((4, 1, 3, 3)))
    x = 255 * rng.random((1, 1, 12, 12))
    solver = csc.solvers.FISTA()
    slow = csc.solve(csc.Problem(x, D, csc.L1(0.01)), solver, max_iter=5)
    assert "of lmbda_max: bring signals to 0...1" in slow.message
    usual = csc.solve(csc.Problem(x / 255, D, csc.L1(0.1)), solver, max_iter=5)
    assert usual.status is slow.status
    assert "lmbda_max" not in usual.message


def test_without_convexity_no_gap_is_claimed(rng):
    solution = csc.solve(image_problem(rng, csc.L0(0.1)), csc.solvers.FISTA(), tol=1e-6)
    assert solution.gap == np.inf
    assert solution.status is csc.solvers.Status.STATIONARY


def test_sparse_code_is_the_short_form(rng):
    problem = image_problem(rng, csc.L1(0.3, positive=True))
    short = csc.sparse_code(problem.x, problem.dictionary.atoms, 0.3, positive=True, tol=1e-6)
    np.testing.assert_array_equal(short.codes, csc.solve(problem, tol=1e-6).codes)


X, D = np.ones((1, 1, 5)), csc.Dictionary(np.ones((2, 1, 3)))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: csc.Problem(X, np.ones((2, 1, 3)), csc.L1(1.0)), TypeError, "csc.Dictionary"),
        (lambda: csc.Problem(X.astype("f4"), D, csc.L1(1.0)), TypeError, "one precision"),
        (lambda: csc.Problem(X * np.nan, D, csc.L1(1.0)), ValueError, "x is NaN"),
        (lambda: csc.Problem(X * np.nan, D, csc.L1(1.0), X), ValueError, "mask is 0 or x is NaN"),
        (lambda: csc.Dictionary(D.atoms * np.nan), ValueError, "atoms holds NaN; find out"),
        (
            lambda: csc.MultiLayerProblem(X * np.inf, csc.MultiLayerDictionary([D]), [csc.L1(1.0)]),
            ValueError,
            "x holds inf; fill the gaps first: multi-layer problems do not support masks",
        ),
        (lambda: csc.Problem(X, D, csc.L1(1.0), 2 * X), ValueError, "mask must hold only 0"),
        (lambda: csc.Problem(X, D, csc.L1(1.0), 0 * X), ValueError, "everywhere mask is 0"),
        (lambda: csc.Problem(X, D, csc.L1(1.0), np.ones(4)), ValueError, "does not broadcast"),
        (lambda: csc.Problem(X, D, csc.L1(1.0, np.ones((3, 1)))), ValueError, "weights of shape"),
        (lambda: csc.solve(X), TypeError, "csc.Problem"),
        (lambda: csc.Problem(X, D, 0.3), TypeError, "penalty must be a penalty such as"),
        (lambda: csc.Problem(X * 1e200, D, csc.L1(1.0)), ValueError, "cannot square; rescale x"),
        (lambda: csc.Problem(X * 1e-200, D, csc.L1(1.0)), ValueError, "cannot square; rescale x"),
        (lambda: csc.Problem(X, D, csc.L1(1.0, np.ones(2))), ValueError, "one weight per atom"),
        (
            lambda: csc.solve(csc.Problem(X, D, csc.L1(1.0)), csc.solvers.FISTA),
            TypeError,
            r"csc.solvers.FISTA\(\)",
        ),
        (
            lambda: csc.solve(csc.Problem(X, D, csc.L1(1.0)), "fista"),
            TypeError,
            r"csc.solvers.FISTA\(\)",
        ),
        (
            lambda: csc.Problem(csc.images.natural(["camera"])[0], D, csc.L1(1.0)),
            TypeError,
            "pixels",
        ),
        (lambda: csc.solvers.FISTA(step_size=-1.0), ValueError, "step_size must be > 0, got -1.0"),
        (lambda: csc.solvers.OMP(n_nonzero=2.5), TypeError, "n_nonzero must be an integer"),
        (
            lambda: csc.solvers.OMP(max_squared_residual=np.nan),
            ValueError,
            "max_squared_residual must be finite and >= 0",
        ),
        (lambda: csc.solve(csc.Problem(X, D, csc.L1(1.0)), tol=-1), ValueError, "tol must be"),
        (lambda: csc.solve(csc.Problem(X, D, csc.L1(1.0)), max_iter=0), ValueError, "max_iter"),
        (lambda: csc.solve(csc.Problem(X, D, csc.L1(1.0)), init=X), ValueError, "init must be"),
        (lambda: csc.sparse_code(X, np.ones((2, 1, 6)), 1.0), ValueError, "larger than x"),
        (lambda: csc.sparse_code(X, np.ones((2, 1, 3)), -1.0), ValueError, "lmbda must be"),
    ],
)
def test_bad_input_is_refused_before_any_work(call, error, words):
    with pytest.raises(error, match=words):
        call()


@pytest.mark.parametrize(
    "penalty",
    [csc.L1(0.5), csc.L1(0.0), csc.ElasticNet(0.5), csc.GroupL21(0.5, 3), csc.L1Ball(5.0)],
)
@pytest.mark.parametrize("kind", ["series", "patches", "measured"])
def test_sparse_codes_stand_for_dense_ones_in_every_problem(kind, penalty, rng):
    D, shape = csc.Dictionary(rng.standard_normal((3, 1, 4))), (2, 1, 4 if kind == "patches" else 9)
    if kind == "measured":
        D, shape = csc.MeasuredDictionary(D, rng.standard_normal((7, 9)), (9,)), (2, 7)
    problem = csc.Problem(rng.standard_normal(shape), D, penalty)
    z = rng.standard_normal(problem.code_shape) * (rng.random(problem.code_shape) < 0.2)
    sparse = SparseCodes.of(z)
    for method in (problem.certificate, problem.residual, problem.reconstruct):
        np.testing.assert_allclose(method(sparse), method(z), rtol=1e-9, atol=1e-12)
    for solver in (None, csc.solvers.FISTA()):
        found = [csc.solve(problem, solver, max_iter=3, init=own).objective for own in (z, sparse)]
        assert found[0] == pytest.approx(found[1], rel=1e-12)


def test_a_path_may_end_at_zero(rng):
    D = csc.Dictionary(rng.standard_normal((3, 1, 4)), stride=3)
    path = csc.lmbda_path(rng.standard_normal((1, 1, 40)), D, [1.0, 0.0])
    assert all(solution.converged for solution in path)


def test_a_callback_that_cannot_be_called_is_refused():
    problem = csc.Problem(np.ones((1, 1, 3)), csc.Dictionary(np.eye(3)[:, None]), csc.L1(0.5))
    with pytest.raises(TypeError, match="callback must be a function of a Progress, got 'print'"):
        csc.solve(problem, callback="print")
