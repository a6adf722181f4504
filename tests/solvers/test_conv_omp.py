"""Convolutional orthogonal matching pursuit against the dense one."""

import numpy as np
import pytest

import csc
from csc.operators import SparseCodes
from csc.solvers._greedy import GreedyState
from reference import lasso as naive
from reference import patches as naive_patch


def problem(rng, mode="full", S=(7, 8), s=(3, 2), stride=1, lmbda=0.0):
    D = csc.Dictionary(rng.standard_normal((3, 2, *s)), mode, stride)
    return csc.Problem(rng.standard_normal((2, 2, *S)), D, csc.L0(lmbda))


@pytest.mark.parametrize("mode", ["full", "circular"])
@pytest.mark.parametrize(
    ("S", "s", "stride"), [((7, 8), (3, 2), 1), ((20,), (5,), 2), ((4, 4, 4), (2, 1, 2), 1)]
)
@pytest.mark.parametrize("n", [1, 4, 9])
def test_codes_are_those_of_the_dense_pursuit(rng, mode, S, s, stride, n):
    p = problem(rng, mode, S, s, stride=stride)
    solution = csc.solve(p, csc.solvers.ConvOMP(n))
    M = naive.synthesis_matrix(p.dictionary.atoms, S, mode, (stride,) * len(S))
    for ours, x in zip(solution.codes, p.x, strict=True):
        theirs = naive_patch.omp(M, x.ravel(), 0.0, n, 0.0)
        np.testing.assert_allclose(ours.ravel(), theirs, atol=1e-7)
    assert solution.converged
    assert solution.status is csc.solvers.Status.DONE


def test_codes_stop_at_their_lmbda(rng):
    p = problem(rng, lmbda=1.5)
    solution = csc.solve(p)
    assert len(solution.z.values) > 0
    decreases = GreedyState(p.x, p.dictionary, solution.z).decreases()
    assert decreases.max() <= 1.5
    more = csc.solve(csc.Problem(p.x, p.dictionary, csc.L0(0.5)))
    assert len(more.z.values) > len(solution.z.values)
    assert solution.objective == pytest.approx(p.value(solution.codes), rel=1e-12)


def test_codes_stop_at_the_energy(rng):
    p = problem(rng)
    max_squared_residual = 0.3 * (p.x**2).sum(axis=(1, 2, 3)).min()
    solution = csc.solve(p, csc.solvers.ConvOMP(max_squared_residual=max_squared_residual))
    left = (p.residual(solution.z) ** 2).sum(axis=(1, 2, 3))
    assert (left <= max_squared_residual).all()
    assert (left > 0.9 * max_squared_residual).all()  # and no earlier


@pytest.mark.parametrize("weak_factor", [1.0, 0.5])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_separated_spikes_are_found(rng, weak_factor, dtype):
    D = csc.Dictionary(
        csc.constraints.UnitSphere().project(rng.standard_normal((4, 1, 5, 5))).astype(dtype)
    )
    z = np.zeros((1, 4, 36, 36), dtype)
    for i, (u, v) in enumerate(np.ndindex(4, 4)):
        z[0, i % 4, 9 * u, 9 * v] = 1 + 0.1 * i
    solver = csc.solvers.ConvOMP(16, weak_factor=weak_factor)
    solution = csc.solve(csc.Problem(D(z), D, csc.L0(0.0)), solver)
    np.testing.assert_allclose(solution.codes, z, atol=1e-5)


def test_many_at_once_need_fewer_rounds(rng):
    p = problem(rng, S=(40, 41))
    rounds = {}
    for weak_factor in (1.0, 0.3):
        solver = csc.solvers.ConvOMP(60, weak_factor=weak_factor)
        state, rounds[weak_factor] = solver.init(p, p.zeros()), 0
        while not state.done:
            state = solver.step(p, state)
            rounds[weak_factor] += 1
        assert (state.z.sums(np.ones(len(state.z.index))) == 60).all()
        r = p.residual(state.z)
        on_support = p.dictionary.adjoint(r)[state.z.coordinates]
        assert abs(on_support).max() < 1e-9
    assert rounds[1.0] == 61
    assert rounds[0.3] < 30


def test_a_round_takes_no_code_below_its_share(rng):
    p = problem(rng, S=(40, 41))
    decreases = GreedyState(p.x, p.dictionary, SparseCodes.of(p.zeros())).decreases()
    solver = csc.solvers.ConvOMP(60, weak_factor=0.6)
    taken = solver.step(p, solver.init(p, p.zeros())).z
    n, _, *v = taken.coordinates
    assert len(n) > 4
    assert (decreases[n, *v] >= 0.6 * decreases.max(axis=(1, 2))[n]).all()


@pytest.mark.parametrize("weak_factor", [1.0, 0.5])
@pytest.mark.parametrize("mode", ["full", "circular"])
def test_what_is_known_from_the_last_round_changes_no_code(rng, weak_factor, mode):
    p, solver = problem(rng, mode, S=(30, 31)), csc.solvers.ConvOMP(40, weak_factor=weak_factor)
    kept = fresh = solver.init(p, p.zeros())
    while not kept.done:
        other = kept._replace(z=p.zeros())
        kept, fresh = (solver.step(p, s) for s in (kept, fresh._replace(greedy=None)))
        np.testing.assert_array_equal(kept.z.index, fresh.z.index)
        np.testing.assert_allclose(kept.z.values, fresh.z.values, atol=1e-9)
    assert fresh.done
    again = solver.step(p, other)  # whose codes are not those that it knows
    np.testing.assert_array_equal(again.z.index, solver.step(p, solver.init(p, p.zeros())).z.index)


def test_a_callback_can_stop_it_with_the_codes_of_the_last_round(rng):
    def stop(_):
        raise StopIteration

    solution = csc.solve(problem(rng, S=(20, 20)), csc.solvers.ConvOMP(50), callback=stop)
    assert len(solution.z.values) == 2 * 20


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_nonzero": -1}, "n_nonzero"),
        ({"max_squared_residual": -1.0}, "max_squared_residual"),
        ({"weak_factor": 0.0}, "weak_factor"),
    ],
)
def test_parameters_are_checked(arguments, message):
    with pytest.raises(ValueError, match=message):
        csc.solvers.ConvOMP(**arguments)


def test_borders_that_cut_atoms_are_refused(rng):
    with pytest.raises(ValueError, match="ConvOMP cannot solve"):
        csc.solve(problem(rng, "valid"), csc.solvers.ConvOMP(3))
