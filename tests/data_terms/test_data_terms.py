"""Data terms on grids that do not know the answer, and their problems against SciPy and scikit-learn."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import linprog, minimize
from sklearn.linear_model import Lasso

import csc
from csc.data_terms import ByChannel, Huber, LeastAbsolute, LeastSquares, Logistic, Poisson
from csc.solvers import FISTA, ISTA, PrimalDual, Reweighted, WorkingSet, _reweighted

WIDE, POSITIVE = np.linspace(-9, 9, 3601), np.linspace(0, 12, 4001)
TERMS = {
    "least squares": (LeastSquares(), [-1.0, 0.5], WIDE),
    "Huber": (Huber(0.7), [-1.0, 0.5], WIDE),
    "absolute": (LeastAbsolute(), [-1.0, 0.5], WIDE),
    "Poisson": (Poisson(0.5), [0.0, 0.3, 4.0], POSITIVE),
    "logistic": (Logistic(), [0.0, 0.3, 1.0], WIDE),
}


@pytest.mark.parametrize("name", TERMS)
def test_terms_agree_with_a_grid(name):
    csc.testing.check_data_term(*TERMS[name])


@pytest.mark.parametrize("method", ["slope", "prox", "conjugate", "majoriser_curvature"])
def test_the_check_finds_each_wrong_method(method):
    class Wrong(Huber):
        pass

    setattr(Wrong, method, lambda self, x, *more: 0.9 * getattr(Huber, method)(self, x, *more))
    with pytest.raises(AssertionError):
        csc.testing.check_data_term(Wrong(0.7), [-1.0, 0.5], WIDE)


@pytest.mark.parametrize("name", TERMS)
def test_terms_keep_the_precision(name, dtype):
    term, samples, grid = TERMS[name]
    x, u = np.full(5, samples[1], dtype), grid[::800][:5].astype(dtype)
    results = [term.loss(x, u), term.slope(x, u), term.conjugate(x, term.slope(x, u))]
    results.append(term.prox(x, u, 0.3))
    if hasattr(term, "majoriser_curvature"):
        results += [term.majoriser_curvature(x, u), term.second_derivative(x, u)]
        step = 1e-2 if dtype == "float32" else 1e-5
        inner = abs(abs(x - u) - 0.7) > step
        slopes = (term.slope(x, u - step) - term.slope(x, u + step)) / dtype.type(2 * step)
        seen = inner & (u > step)  # Poisson's slope has a kink at 0, Huber's at delta
        np.testing.assert_allclose(results[-1][seen], slopes[seen], rtol=1e-2, atol=1e-3)
    assert all(a.dtype == dtype and np.isfinite(a).all() for a in results)


def make_problem(rng, mode, term, *, positive=False):
    atoms = rng.standard_normal((4, 1, 4))
    atoms = abs(atoms) if positive else atoms
    D = csc.Dictionary(atoms / np.linalg.norm(atoms, axis=2, keepdims=True), mode)
    shape = (1, 4, *D.spatial_code_shape((20,)))
    x = D(2 * abs(rng.standard_normal(shape)) * (rng.random(shape) < 0.15), (20,))
    if isinstance(term, Poisson):
        x = rng.poisson(x + term.background).astype("float64")
    elif isinstance(term, Logistic):
        x = (x > 0.5).astype("float64")
    else:
        x = x + 0.05 * rng.standard_normal(x.shape) + 4 * (rng.random(x.shape) < 0.08)
    penalty = csc.L1(csc.Relative(0.1), positive=positive)
    return csc.Problem(x, D, penalty, data_term=term)


def smallest_objective(problem):
    """By others, with the dictionary as a matrix: linear programming, Lasso, or L-BFGS-B."""
    x, term, penalty = problem.x.ravel(), problem.data_term, problem.penalty
    n = int(np.prod(problem.code_shape))
    A = np.stack([problem.dictionary(e.reshape(problem.code_shape), problem.x.shape[2:]).ravel()
                  for e in np.eye(n)], axis=1)  # fmt: skip
    w = (
        np.ones_like(x)
        if term.weights is None
        else np.broadcast_to(term.weights, problem.x.shape).ravel()
    )
    if isinstance(term, LeastAbsolute):  # x = A (p - q) + r - s
        costs = np.concatenate([np.full(2 * n, penalty.lmbda), w, w])
        return linprog(costs, A_eq=np.hstack([A, -A, np.eye(len(x)), -np.eye(len(x))]), b_eq=x).fun
    if isinstance(term, Huber | LeastSquares):  # least squares, of Huber with sparse outliers
        kept, root = w > 0, np.sqrt(w)
        columns = [root[:, None] * A]
        if isinstance(term, Huber):
            columns.append(np.diag(penalty.lmbda / (term.delta * np.where(kept, root, 1))))
        matrix, target = np.hstack(columns)[kept], (root * x)[kept]
        lasso = Lasso(penalty.lmbda / len(target), fit_intercept=False, tol=1e-9, max_iter=100_000)
        p = lasso.fit(matrix, target).coef_
        return 0.5 * ((target - matrix @ p) ** 2).sum() + penalty.lmbda * abs(p).sum()
    signs = np.hstack([A] if penalty.positive else [A, -A])

    def cost(p):
        u = signs @ p
        value = (w * term.loss(x, u)).sum() + penalty.lmbda * p.sum()
        return value, penalty.lmbda - signs.T @ (w * term.slope(x, u))

    bounds = [(0, None)] * signs.shape[1]
    options = {"maxiter": 20_000, "maxfun": 100_000, "ftol": 1e-12, "gtol": 1e-7}
    return minimize(cost, np.zeros(signs.shape[1]), jac=True, bounds=bounds, options=options).fun


CASES = {  # mode, class, parameters, whether weights differ
    "weighted": ("full", LeastSquares, (), True),
    "Huber": ("valid", Huber, (0.1,), False),
    "weighted Huber": ("circular", Huber, (0.1,), True),
    "absolute": ("full", LeastAbsolute, (), False),
    "weighted absolute": ("same", LeastAbsolute, (), True),
    "Poisson": ("full", Poisson, (0.5,), False),
    "logistic": ("valid", Logistic, (), False),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_solvers_reach_the_minimum_that_others_find(name, rng):
    mode, kind, parameters, differ = CASES[name]
    weights = rng.uniform(0.2, 2, (1, 20)) * (rng.random((1, 20)) < 0.9)
    term = kind(*parameters, weights if differ else None)
    problem = make_problem(rng, mode, term, positive=kind is Poisson)
    best = smallest_objective(problem)
    tol = 1e-3 if "absolute" in name else 1e-4
    for solver in (Reweighted(), FISTA(), PrimalDual()):
        if not solver.supports(problem) or (
            isinstance(solver, PrimalDual) and "absolute" not in name
        ):
            continue
        solution = csc.solve(problem, solver, tol=tol, max_iter=20_000)
        assert solution.converged, solver
        error = solution.objective - best
        assert -1e-5 * best <= error <= solution.gap + 1e-7 * best
        dense = problem.value(solution.codes)
        assert solution.objective == pytest.approx(dense, rel=1e-10)
    far = problem.zeros()  # the gap is a bound at any codes, not only at good ones
    assert problem.gap(far) >= problem.value(far) - best - 1e-7 * best


FREE = {  # class, parameters, whether codes are not negative
    "weighted": (LeastSquares, (), False),
    "Huber": (Huber, (0.1,), False),
    "Huber, positive": (Huber, (0.1,), True),
    "absolute": (LeastAbsolute, (), False),
    "logistic": (Logistic, (), False),
    "Poisson": (Poisson, (0.5,), True),
}


@pytest.mark.parametrize("name", FREE)
def test_codes_without_a_penalty_have_a_gap_with_every_data_term(name, rng):
    kind, parameters, positive = FREE[name]
    weights = rng.uniform(0.2, 2, (1, 20)) * (rng.random((1, 20)) < 0.9)
    problem = make_problem(rng, "circular", kind(*parameters, weights), positive=positive)
    of_codes = np.ones((4, 20))
    of_codes.flat[rng.choice(80, 5, replace=False)] = 0  # few: the others have to fit, too
    problem = replace(problem, penalty=csc.L1(problem.penalty.lmbda, of_codes, positive))
    if kind is Logistic:  # of shares: bits that free codes can separate have no minimum
        problem = replace(problem, x=np.clip(problem.x, 0.1, 0.9))
    best = smallest_with_free_codes(problem)
    solution = csc.solve(problem, tol=1e-2 if kind is LeastAbsolute else 1e-3, max_iter=20_000)
    assert solution.converged
    assert -1e-6 * best <= solution.objective - best <= solution.gap + 1e-6 * best
    far = problem.zeros()
    assert problem.gap(far) >= problem.value(far) - best - 1e-6 * best


def smallest_with_free_codes(problem):
    """By linear programming, or by L-BFGS-B, of positive and negative parts."""
    x, term, penalty = problem.x.ravel(), problem.data_term, problem.penalty
    unit = np.eye(80).reshape(-1, 1, 4, 20)
    A = np.stack([problem.dictionary(e[None, 0], (20,)).ravel() for e in unit], axis=1)
    signs = A if penalty.positive else np.hstack([A, -A])
    w, costs = term.weights.ravel(), np.resize(penalty.lmbda * penalty.weights, signs.shape[1])
    if isinstance(term, LeastAbsolute):
        equal = np.hstack([signs, np.eye(20), -np.eye(20)])
        return linprog(np.concatenate([costs, w, w]), A_eq=equal, b_eq=x).fun

    def cost(p):
        u = signs @ p
        return (w * term.loss(x, u)).sum() + costs @ p, costs - signs.T @ (w * term.slope(x, u))

    bounds = [(0, None)] * len(costs)
    options = {"maxiter": 20_000, "maxfun": 100_000, "ftol": 1e-15, "gtol": 1e-9}
    return minimize(cost, np.zeros(len(costs)), jac=True, bounds=bounds, options=options).fun


@pytest.mark.parametrize("penalty", [csc.ElasticNet(0.02), csc.GroupL21(0.02, 2)], ids=repr)
def test_other_penalties_have_a_gap_too(penalty, rng):
    problem = replace(make_problem(rng, "full", Huber(0.1)), penalty=penalty)
    solution = csc.solve(problem, tol=1e-6)
    assert solution.converged
    assert isinstance(csc.solvers.fastest(problem), FISTA)
    robust = csc.solve(replace(problem, data_term=LeastAbsolute()), tol=1e-3, max_iter=50_000)
    assert robust.converged


def test_weights_of_zero_and_one_are_a_mask(rng):
    problem = make_problem(rng, "full", LeastSquares())
    mask = rng.random(problem.x.shape) < 0.8
    masked = csc.Problem(problem.x, problem.dictionary, problem.penalty, mask)
    weighted = replace(problem, data_term=LeastSquares(mask.astype("float64")))
    both = csc.Problem(
        problem.x, problem.dictionary, problem.penalty, mask, LeastSquares(np.ones(20))
    )
    best = csc.solve(masked, tol=1e-9).objective
    for other in (weighted, both):
        assert csc.solve(other, tol=1e-8).objective == pytest.approx(best, rel=1e-7)
        assert other.lmbda_max() == pytest.approx(masked.lmbda_max(), rel=1e-12)


@pytest.mark.parametrize("term", [Huber(0.1), LeastAbsolute(), Logistic()], ids=repr)
def test_above_lmbda_max_all_codes_are_zero_and_below_not(term, rng):
    problem = make_problem(rng, "full", term)
    for factor, some in ((1.0001, False), (0.8, True)):
        own = replace(problem, penalty=csc.L1(factor * problem.lmbda_max()))
        assert (own.gap(own.zeros()) > 1e-9) == some
        relative = replace(problem, penalty=csc.L1(csc.Relative(factor)))
        assert relative.penalty.lmbda == pytest.approx(own.penalty.lmbda)


def test_float32_problems_stay_float32(rng):
    problem = make_problem(rng, "full", Huber(0.1))
    D = csc.Dictionary(problem.dictionary.atoms.astype("float32"))
    small = csc.Problem(problem.x.astype("float32"), D, problem.penalty, data_term=Huber(0.1))
    for solver in (Reweighted(), FISTA(), PrimalDual()):
        solution = csc.solve(small, solver, tol=1e-3, max_iter=20_000)
        assert solution.codes.dtype == "float32"
    assert solution.objective == pytest.approx(csc.solve(problem, tol=1e-6).objective, rel=1e-3)


def test_what_does_not_fit_is_refused(rng):
    problem = make_problem(rng, "full", Huber(0.1))
    for solver in (WorkingSet(), csc.solvers.ADMM()):
        with pytest.raises(ValueError, match="cannot solve this problem"):
            csc.solve(problem, solver)
    with pytest.raises(ValueError, match="smooth data term"):
        csc.solve(replace(problem, data_term=LeastAbsolute()), ISTA())
    positive = csc.Dictionary(abs(problem.dictionary.atoms))
    bad = [
        (lambda: Huber(0.0), "delta must be finite and > 0"),
        (lambda: LeastSquares(np.array([-1.0])), "weights must be >= 0"),
        (lambda: replace(problem, data_term=LeastSquares(np.ones(3))), "do not broadcast to x"),
        (lambda: replace(problem, data_term=Logistic()), r"x must lie in \[0, 1\]"),
        (lambda: replace(problem, data_term=Poisson(1.0)), "x must be >= 0"),
        (lambda: replace(problem, x=abs(problem.x), data_term=Poisson(1.0)), "atoms must be >= 0"),
        (
            lambda: csc.Problem(abs(problem.x), positive, csc.L1(1.0), data_term=Poisson(1.0)),
            "positive=True",
        ),
    ]
    for make, words in bad:
        with pytest.raises(ValueError, match=words):
            make()
    with pytest.raises(TypeError, match="data_term must be a data_term such as"):
        replace(problem, data_term=Huber)


def test_outliers_hardly_move_the_reconstruction(rng):
    t = np.linspace(-1, 1, 15)
    atoms = np.stack([np.exp(-8 * t * t), t * np.exp(-8 * t * t)])[:, None]
    D = csc.Dictionary(atoms / np.linalg.norm(atoms, axis=2, keepdims=True))
    z = 2 * rng.standard_normal((1, 2, 186)) * (rng.random((1, 2, 186)) < 0.08)
    x = D(z, (200,))
    hit = x + 6 * (rng.random(x.shape) < 0.05)
    errors = {}
    for term in (LeastSquares(), Huber(0.05), LeastAbsolute()):
        lmbda = csc.Relative(0.05) if type(term) is LeastSquares else csc.Relative(0.1)
        problem = csc.Problem(hit, D, csc.L1(lmbda), data_term=term)
        fit = csc.solve(problem, tol=1e-3).reconstruction()
        errors[type(term)] = np.linalg.norm(fit - x) / np.linalg.norm(x)
    assert max(errors[Huber], errors[LeastAbsolute]) < 0.3 * errors[LeastSquares], errors


def test_the_lipschitz_constant_grows_with_the_weights(rng):
    plain = make_problem(rng, "full", LeastSquares())
    heavy = replace(plain, data_term=LeastSquares(np.array([9.0])))
    assert heavy.lipschitz() == pytest.approx(9 * plain.lipschitz())
    assert replace(heavy, data_term=LeastAbsolute()).lipschitz() == np.inf


def test_terms_are_equal_if_their_numbers_and_weights_are():
    weights = np.arange(3.0)
    assert Huber(0.1, weights) == Huber(0.1, weights.copy())
    assert hash(Huber(0.1, weights)) == hash(Huber(0.1, weights.copy()))
    others = [Huber(0.2, weights), Huber(0.1), Huber(0.1, weights + 1), LeastSquares(weights)]
    assert all(Huber(0.1, weights) != other for other in others)
    assert repr(Huber(0.1, weights)) == "Huber(delta=0.1, weights=array (3,))"


@pytest.mark.parametrize(
    "solver", [Reweighted(1e-6), PrimalDual()], ids=["Reweighted", "PrimalDual"]
)
def test_a_dual_that_still_moves_does_not_end_the_solve(solver):
    """Codes of absolute values are exact early: corners, where the dual takes longer."""
    rng = np.random.default_rng(5)
    for _ in range(15):
        x = rng.standard_normal((1, 1, 12))
        D = csc.Dictionary(rng.standard_normal((2, 1, 1)), "valid", 2)
        at = csc.Problem(x, D, csc.L1(csc.Relative(0.3)), data_term=LeastAbsolute())
        solution = csc.solve(at, solver, tol=1e-5, max_iter=20_000)
        assert solution.relative_gap <= 1e-5, solution.message


def test_steps_may_pass_through_infinite_losses_of_hidden_samples():
    """Conjugate gradients leave the domain of counts, also where no count was observed."""
    rng = np.random.default_rng(0)
    x, mask = rng.poisson(3.0, (1, 1, 9)).astype("float64"), rng.random((1, 1, 9)) < 0.5
    D = csc.Dictionary(rng.random((3, 1, 3)), "same")
    penalty = csc.L1(csc.Relative(0.05), positive=True)
    problem = csc.Problem(x, D, penalty, mask, data_term=Poisson(0.5))
    with np.errstate(all="raise"):
        assert csc.solve(problem, tol=1e-8).relative_gap <= 1e-8


def counted(monkeypatch, owner, name):
    """A list that grows by one with each call of a method."""
    calls, method = [], getattr(owner, name)

    def call(*arguments):
        calls.append(name)
        return method(*arguments)

    monkeypatch.setattr(owner, name, call)
    return calls


def test_absolute_values_need_few_products(rng, monkeypatch):
    x = csc.images.natural()[0].pixels[None, None, 50:82, 60:92].astype("float32")
    x = np.where(rng.random(x.shape) < 0.05, np.float32(0.5), x - x.mean())
    atoms = csc.constraints.UnitSphere().project(rng.standard_normal((8, 1, 5, 5)))
    D = csc.Dictionary(atoms.astype("float32"), "circular")
    problem = csc.Problem(x, D, csc.L1(csc.Relative(0.1)), data_term=LeastAbsolute())
    steps, refine = [], _reweighted._WeightedSet.refine
    monkeypatch.setattr(
        _reweighted._WeightedSet, "refine", lambda a, *n: steps.append(a.cg_steps) or refine(a, *n)
    )
    assert csc.solve(problem, tol=1e-3).converged
    # 836; 1061 if the smoothing goes on below the tolerance, 1320 with up to 60 steps of conjugate gradients
    assert sum(steps) < 940


def test_a_loose_tolerance_needs_few_tight_certificates(rng, monkeypatch):
    x, atoms = rng.standard_normal((1, 1, 24, 24)), rng.standard_normal((8, 1, 5, 5))
    weights = LeastSquares(rng.uniform(0.2, 1.8, x.shape))
    D = csc.Dictionary(csc.constraints.UnitSphere().project(atoms), "circular")
    problem = csc.Problem(x, D, csc.L1(csc.Relative(0.01)), data_term=weights)
    rounds = counted(monkeypatch, _reweighted._WeightedSet, "certified")
    tight = counted(monkeypatch, _reweighted, "best_dual_of_term")
    assert csc.solve(problem, tol=0.05).converged
    assert 0 < len(tight) < len(rounds) / 3  # else all of the rounds


@pytest.mark.parametrize("term", [LeastAbsolute(), Huber(1.0)])
def test_large_signals_in_float32_are_solved_to_the_tolerance(term, rng):
    x, atoms = (rng.standard_normal(shape).astype("float32") for shape in ((1, 1, 40), (4, 1, 5)))
    problem = csc.Problem(1e10 * x, csc.Dictionary(atoms), csc.L1(1e-3), data_term=term)
    assert "rounding error" not in csc.solve(problem, max_iter=3).message


@pytest.mark.parametrize("term", [LeastAbsolute(), csc.data_terms.ChannelNorm(), Huber(0.01)])
def test_signals_that_the_first_codes_fit_exactly_are_solved(term, rng):
    D, penalty = csc.Dictionary(rng.standard_normal((2, 1, 3))), csc.L1(1e-3)
    zeros = csc.Problem(np.zeros((2, 1, 20)), D, penalty, data_term=term)
    solution = csc.solve(zeros, Reweighted())
    assert (solution.objective, solution.gap, solution.codes.any()) == (0, 0, False)
    z = rng.standard_normal((1, 2, 18))
    problem = csc.Problem(D(z), D, penalty, data_term=term)
    cold, warm = (csc.solve(problem, Reweighted(), tol=1e-6, init=init) for init in (None, z))
    assert warm.converged
    assert warm.objective == pytest.approx(cold.objective, rel=1e-5)


def test_an_infinite_objective_is_not_converged():
    D = csc.MeasuredDictionary(csc.Dictionary(np.ones((1, 1, 2))), -np.eye(4), (4,))
    counts = csc.Problem(np.ones((1, 4)), D, csc.L1(0.1, positive=True), data_term=Poisson(0.01))
    init = np.ones(counts.code_shape)
    solution = csc.solve(counts, csc.solvers.FISTA(step_size=1e-15), init=init)
    assert (solution.objective, solution.status) == (np.inf, csc.solvers.Status.STALLED)


def test_what_no_solver_takes_is_refused(rng):
    x, D = rng.standard_normal((1, 1, 9)), csc.Dictionary(rng.standard_normal((2, 1, 3)))
    with pytest.raises(ValueError, match="no solver takes a data term LeastAbsolute"):
        csc.solve(csc.Problem(x, D, csc.L0(0.1), data_term=LeastAbsolute()))


@pytest.mark.parametrize("term", [Huber(0.5), LeastSquares(np.ones(9))])
def test_free_codes_with_any_data_term_give_a_solution_at_the_limit_of_steps(term, rng):
    x, D = rng.standard_normal((1, 1, 9)), csc.Dictionary(rng.standard_normal((2, 1, 3)))
    penalty = csc.L1(1e-5, weights=np.array([[0.0], [1.0]]))
    solution = csc.solve(csc.Problem(x, D, penalty, data_term=term), max_iter=2)
    assert solution.status is csc.solvers.Status.MAX_ITER


def impulses(rng, dtype):
    """A series with 5 % impulses, and its atoms."""
    atoms = csc.constraints.UnitSphere().project(rng.standard_normal((3, 1, 6)))
    D = csc.Dictionary(atoms.astype(dtype))
    z = rng.laplace(size=(1, 3, *D.spatial_code_shape((60,)))) * (rng.random((1, 3, 55)) < 0.1)
    x = D(z.astype(dtype)) + 0.02 * rng.standard_normal((1, 1, 60))
    return (x + 5 * (rng.random(x.shape) < 0.05)).astype(dtype), D


@pytest.mark.parametrize("delta", [1e-3, 1e-6])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_huber_with_a_tiny_delta_reaches_the_minimum_of_absolute_values(delta, dtype, rng):
    x, D = impulses(rng, dtype)
    solution = csc.solve(
        csc.Problem(x, D, csc.L1(0.3 * delta), data_term=Huber(delta)), max_iter=60
    )
    assert solution.converged
    A = np.stack([D(e)[0, 0] for e in np.eye(3 * 55, dtype=dtype).reshape(-1, 1, 3, 55)], axis=1)
    n, k = A.shape  # min sum s + t + 0.3 sum z,  s - t = x - A z,  of codes z = p - q
    cost = np.concatenate([np.ones(2 * n), np.full(2 * k, 0.3)])
    equal = np.hstack([np.eye(n), -np.eye(n), A, -A])
    least = linprog(cost, A_eq=equal, b_eq=x.ravel().astype("float64"), method="highs").fun
    # delta times it, and at most delta^2 / 2 less for each sample
    assert solution.objective - solution.gap <= delta * least + 1e-6 * delta * least
    assert solution.objective >= delta * least - n * delta**2 / 2 - 1e-6 * delta * least


@pytest.mark.parametrize("term", [LeastAbsolute(), Huber(0.05)], ids=repr)
def test_smoothed_terms_are_the_largest_of_their_planes(term, rng):
    x, u = rng.standard_normal((1, 1, 9)), rng.standard_normal((1, 1, 9))
    top, bend = (0.05, 1.0) if isinstance(term, Huber) else (1.0, 0.0)
    center, s = top * rng.uniform(-1, 1, x.shape), np.linspace(-top, top, 4001)[:, None, None, None]
    smooth = term.smoothed(0.7, center)
    planes = s * (x - u) - bend * s**2 / 2 - smooth.width / 2 * (s - center) ** 2
    np.testing.assert_allclose(smooth.loss(x, u), planes.max(axis=0), atol=1e-6)
    np.testing.assert_allclose(smooth.slope(x, u), s[planes.argmax(axis=0), 0, 0, 0], atol=1e-3)
    assert (smooth.loss(x, u) <= term.loss(x, u) + 1e-12).all()
    other, h = rng.standard_normal(x.shape), 1e-4
    parabola = smooth.loss(x, u) - smooth.slope(x, u) * (other - u)
    parabola += smooth.majoriser_curvature(x, u) * (other - u) ** 2 / 2
    assert (parabola >= smooth.loss(x, other) - 1e-12).all()
    change = smooth.loss(x, u + h) + smooth.loss(x, u - h) - 2 * smooth.loss(x, u)
    np.testing.assert_allclose(change / h**2, smooth.second_derivative(x, u), rtol=1e-3, atol=1e-5)
    np.testing.assert_array_equal(smooth.moved(x, u).center, smooth.slope(x, u))


def test_huber_is_smoothed_only_if_delta_is_small():
    assert Huber(0.3).smoothed(1.0, np.zeros(3)) is None
    assert Huber(0.1).smoothed(1.0, np.zeros(3)).width == pytest.approx(9)


def test_terms_by_channel_are_smoothed_where_a_part_needs_it(rng):
    bounded, center = ByChannel([(1, Huber(0.5)), (2, LeastSquares())]), np.zeros((1, 3, 4))
    assert bounded.smoothed(1.0, center) is None
    steep = ByChannel([(1, Huber(1e-3)), (2, LeastSquares())]).smoothed(1.0, center)
    assert [type(term).__name__ for _, term in steep.parts] == ["SmoothedAbsolute", "LeastSquares"]
    x, D = impulses(rng, "float64")
    problem = csc.Problem(x, D, csc.L1(3e-7), data_term=ByChannel([(1, Huber(1e-6))]))
    found, own = (
        csc.solve(p, max_iter=60) for p in (problem, replace(problem, data_term=Huber(1e-6)))
    )
    assert found.converged
    assert abs(found.objective - own.objective) <= found.gap + own.gap


def test_terms_by_channel_are_equal_if_their_parts_and_weights_are():
    parts, weights = [(1, Huber(0.1)), (2, LeastSquares())], np.ones(3)
    assert ByChannel(parts) == ByChannel(list(parts))
    assert hash(ByChannel(parts, weights)) == hash(ByChannel(parts, weights.copy()))
    assert ByChannel(parts, weights) == ByChannel(parts, weights.copy())
    others = [ByChannel(parts[:1]), ByChannel(parts, weights), ByChannel(parts[::-1])]
    assert all(ByChannel(parts) != other for other in others)


@pytest.mark.parametrize("penalty", [csc.L1(0.01), csc.ElasticNet(0.01), csc.Simplex()], ids=repr)
@pytest.mark.parametrize("name", ["absolute", "Huber", "norm"])
def test_dual_points_in_float32_have_a_finite_gap(name, penalty, rng):
    """Rounding may move them out of the domain of the conjugate by a little."""
    D = csc.Dictionary(rng.standard_normal((5, 2, 3)).astype("float32"), "circular")
    x = rng.standard_normal((2, 2, 200)).astype("float32")
    weights = None if name == "norm" else 3 * rng.random(x.shape).astype("float32")
    terms = {"absolute": LeastAbsolute(weights), "Huber": Huber(0.1, weights)}
    problem = csc.Problem(x, D, penalty, data_term=terms.get(name, LeastSquares()))
    if name == "norm":
        problem = csc.problems.with_total_variation(problem, 1.0, isotropic=True)
    history = csc.solve(problem, PrimalDual(), tol=1e-3, max_iter=100).history
    assert np.isfinite([p.gap for p in history]).all()


def test_primal_dual_steps_follow_the_sizes_of_dual_and_codes(rng):
    """Total variation far above the signals: the dual point of zeros says nothing of its size."""
    D = csc.Dictionary(rng.standard_normal((5, 1, 3)), "circular")
    problem = csc.Problem(1e-3 * rng.standard_normal((1, 1, 30)), D, csc.GroupL21(1e-5, 5))
    problem = csc.problems.with_total_variation(problem, 1.0, isotropic=True)
    assert csc.solve(problem, PrimalDual(), tol=1e-3, max_iter=2000).converged


def test_primal_dual_says_what_to_do_when_its_steps_are_used_up(rng):
    problem = make_problem(rng, "full", LeastAbsolute())
    message = csc.solve(problem, PrimalDual(), tol=1e-12, max_iter=20).message
    assert "raise max_iter or tol" in message
    assert "Reweighted" in message


@pytest.mark.parametrize(
    ("dtype", "tol", "reached"), [("float32", 1e-8, 1e-6), ("float64", 0, 1e-13)]
)
def test_absolute_values_end_where_only_rounding_is_left(dtype, tol, reached, rng):
    atoms = csc.constraints.UnitSphere().project(rng.standard_normal((5, 2, 6)))
    x, D = rng.standard_normal((2, 2, 60)).astype(dtype), csc.Dictionary(atoms.astype(dtype))
    problem = csc.Problem(x, D, csc.L1(0.3), data_term=LeastAbsolute())
    solution = csc.solve(problem, tol=tol, max_iter=300)
    assert solution.status is csc.solvers.Status.STALLED
    assert solution.relative_gap < reached


@pytest.mark.parametrize("seed", [3, 7, 11])
def test_the_gap_of_codes_in_float32_is_that_of_the_dual_point_of_the_rounds(seed):
    """Slopes of a smoothed term are rounded codes divided by its width: not good enough."""
    rng = np.random.default_rng(seed)
    D = csc.Dictionary(rng.standard_normal((2, 1, 3, 2)).astype("float32"), "circular")
    x = rng.standard_normal((1, 1, 5, 7)).astype("float32")
    problem = csc.Problem(x, D, csc.L1(3e-4, positive=True))
    problem = csc.problems.with_total_variation(problem, 0.1)
    assert csc.solve(problem, Reweighted(), tol=1e-6, max_iter=50).converged


@pytest.mark.parametrize("seed", [0, 3, 5])
def test_a_smoothing_that_moves_by_rounding_ends_the_solve(seed):
    rng = np.random.default_rng(seed)
    D = csc.Dictionary(rng.standard_normal((2, 1, 4)).astype("float32"), "circular")
    x = rng.standard_normal((1, 1, 14)).astype("float32")
    problem = csc.Problem(x, D, csc.L1(0.2), data_term=LeastAbsolute())
    solution = csc.solve(problem, Reweighted(), tol=1e-8, max_iter=60)
    assert solution.status is csc.solvers.Status.STALLED
    assert solution.relative_gap < 1e-6


@pytest.mark.parametrize("weights", [None, np.array([[0.0], [1.0], [1.0]])], ids=["all", "one"])
def test_free_codes_that_separate_bits_end_with_what_to_do(weights, rng):
    D = csc.Dictionary(rng.standard_normal((3, 1, 4)), "valid")
    x = np.float64(rng.random((1, 1, 20)) < 0.5)
    penalty = csc.L1(0.0 if weights is None else 100.0, weights=weights)  # 100: only free codes
    problem = csc.Problem(x, D, penalty, data_term=Logistic(2 * rng.random(x.shape)))
    solution = csc.solve(problem, tol=1e-2, max_iter=5000)
    assert solution.status is csc.solvers.Status.STALLED
    assert "no minimum; give all codes a weight > 0" in solution.message
    assert solution.objective <= 1e-2 * problem.value(problem.zeros())


def test_free_codes_that_fit_some_bits_exactly_are_named_at_the_limit_of_steps(rng):
    x, D = np.float64(rng.random((1, 1, 20)) < 0.5), csc.Dictionary(rng.standard_normal((1, 1, 4)))
    problem = csc.Problem(x, D, csc.L1(0.0), data_term=Logistic())
    assert "may have no minimum" in csc.solve(problem, max_iter=20).message
    priced = replace(problem, penalty=csc.L1(0.01))
    assert "no minimum" not in csc.solve(priced, FISTA(), tol=1e-12, max_iter=20).message


def test_first_codes_far_off_do_not_widen_the_smoothing(rng):
    x, D = impulses(rng, "float64")
    problem = csc.Problem(x, D, csc.L1(0.3), data_term=LeastAbsolute())
    init = 1e4 * rng.standard_normal(problem.code_shape)
    assert csc.solve(problem, Reweighted(), tol=1e-4, init=init, max_iter=30).converged


@pytest.mark.parametrize("solver", [FISTA(), ISTA(), csc.solvers.GreedyFISTA()], ids=repr)
def test_counts_of_zero_have_codes_of_zero(solver, dtype):
    D, x = csc.Dictionary(np.ones((2, 1, 3), dtype)), np.zeros((1, 1, 9), dtype)
    penalty = csc.ElasticNet(0.1, positive=True)
    problem = csc.Problem(x, D, penalty, data_term=Poisson(0.5))
    solution = csc.solve(problem, solver, init=np.ones(problem.code_shape, dtype))
    assert solution.converged
    assert not solution.codes.any()
