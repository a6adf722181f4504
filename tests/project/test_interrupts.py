"""Ctrl-C within a search, a learner or a grid ends all of it."""

import signal

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV

import csc
import csc.distributed
from csc.solvers._run import INTERRUPTED, Run

RNG = np.random.default_rng(0)
X = RNG.laplace(size=(12, 1, 20))
D = csc.Dictionary(csc.constraints.UnitSphere().project(RNG.standard_normal((4, 1, 5))))
ONE = X[:1]
LAYERS = [
    csc.DictionaryLearning(4, (5,), 0.5, max_iter=1),
    csc.DictionaryLearning(3, (3,), 0.5, max_iter=1),
]


def learned(**more):
    return csc.DictionaryLearning(4, (5,), 0.5, max_iter=1, random_state=0, **more).fit(X)


def deep():
    learner = csc.MultiLayerDictionaryLearning(LAYERS, 2, max_iter=1, random_state=0)
    return learner.fit(X)


CALLS = {
    "transform": (learned, lambda learner: learner.transform(X)),
    "score": (learned, lambda learner: learner.score(X)),
    "transform of a list": (learned, lambda learner: learner.transform([X[0], X[1, :, :9]])),
    "layers, transform": (deep, lambda learner: learner.transform(X)),
    "layers, score": (deep, lambda learner: learner.score(X)),
    "lmbda_path": (None, lambda _: csc.lmbda_path(X, D, 5)),
    "noise_constrained": (None, lambda _: csc.noise_constrained(ONE, D, 0.5 * np.linalg.norm(ONE))),
    "lmbda_for_sparsity": (None, lambda _: csc.lmbda_for_sparsity(X, D, 7)),
}


@pytest.fixture
def pressed(monkeypatch):
    """Ctrl-C within the n-th solve, of which a list of all solves is kept."""
    import csc._solve

    take_steps, solves = csc._solve.iterate, []

    def press(n):
        def interrupted(*arguments):
            run = take_steps(*arguments)
            solves.append(run)
            return Run(run.z, 1, [], INTERRUPTED) if len(solves) == n else run

        monkeypatch.setattr(csc._solve, "iterate", interrupted)
        return solves

    return press


SOLVES = [(call, 1) for call in CALLS]
SOLVES += [(call, 2) for call in CALLS if "list" in call or "_" in call]


@pytest.mark.parametrize(("call", "n"), SOLVES)
def test_an_interrupted_solve_ends_what_called_it(call, n, pressed):
    init_state, go = CALLS[call]
    learner = init_state() if init_state else None
    solves = pressed(n)
    with pytest.raises(KeyboardInterrupt):
        go(learner)
    assert len(solves) == n


def test_the_short_form_returns_what_is_usable(pressed):
    pressed(1)
    solution = csc.sparse_code(X, D, 0.5)
    assert (solution.status, solution.message) == INTERRUPTED
    assert solution.gap == pytest.approx(solution.problem.gap(solution.codes))


def test_a_worker_of_dask_hands_out_no_codes_of_a_solve_cut_short(pressed):
    from csc.distributed._tasks import Model
    from csc.learning._encode import Group

    pressed(1)
    with pytest.raises(KeyboardInterrupt):
        Model(D, csc.L1(0.5), 1e-4).certified([Group(X, None)])


def stop_at(monkeypatch, n):
    """Ctrl-C before the n-th step of any learner; all steps begun."""
    step, begun = csc.DictionaryLearning._step, []

    def interrupted(self, *arguments):
        begun.append(self)
        if len(begun) == n:
            raise KeyboardInterrupt
        step(self, *arguments)

    monkeypatch.setattr(csc.DictionaryLearning, "_step", interrupted)
    return begun


def test_an_interrupt_ends_a_grid_of_scikit_learn(monkeypatch):
    learner = csc.DictionaryLearning(4, (5,), 0.5, max_iter=3, tol=0, random_state=0)
    grid, begun = GridSearchCV(learner, {"lmbda": [0.2, 0.5, 0.9]}, cv=2), stop_at(monkeypatch, 2)
    with (
        pytest.warns(UserWarning, match="interrupted after 1 steps"),
        pytest.raises(KeyboardInterrupt),
    ):
        grid.fit(X)
    assert len(begun) == 2


def test_an_interrupt_ends_a_restoration_that_learns_atoms(monkeypatch):
    stop_at(monkeypatch, 2)
    with (
        pytest.warns(UserWarning, match="interrupted after 1 steps"),
        pytest.raises(KeyboardInterrupt),
    ):
        csc.restoration.denoise(RNG.random((24, 24)), 0.1)


def test_an_interrupted_fit_transform_keeps_the_atoms(monkeypatch, tmp_path):
    path = tmp_path / "atoms.npz"
    learner = csc.DictionaryLearning(4, (5,), 0.5, tol=0, random_state=0, checkpoint=path)
    stop_at(monkeypatch, 3)
    with (
        pytest.warns(UserWarning, match="interrupted after 2 steps"),
        pytest.raises(KeyboardInterrupt),
    ):
        learner.fit_transform(X)
    assert learner.state_.n_steps == 2
    np.testing.assert_array_equal(csc.resume(path).atoms_, learner.atoms_)


class Deleted:
    def __del__(self):  # Python drops exceptions that are raised here
        signal.raise_signal(signal.SIGINT)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_that_a_finaliser_swallows_ends_the_solve():
    class Solver(csc.solvers.FISTA):
        def step(self, problem, state):
            steps.append(state)
            if len(steps) == 3:
                Deleted()
            return super().step(problem, state)

    steps, before = [], signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        solution = csc.solve(csc.Problem(X, D, csc.L1(0.5)), Solver(), tol=0)
    finally:
        handler = signal.signal(signal.SIGINT, before)
    assert (solution.status, solution.n_iter) == (csc.solvers.Status.INTERRUPTED, 3)
    assert len(steps) == 3
    assert handler is signal.default_int_handler
