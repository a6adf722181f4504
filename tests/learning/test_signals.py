"""Learning from signals larger than the atoms: statistics, monotony, masks, lists, streams."""

import contextlib
import itertools
import signal

import numpy as np
import pytest

import csc
from csc._interrupts import Terminated
from csc.kernels.cpu.moments import moments
from csc.learning import _statistics as stats
from csc.learning._data import Signals
from csc.learning._encode import encode
from csc.learning._update import descend
from csc.operators._sparse_codes import SparseCodes

CASES = [  # stride, spatial shape of the atoms, of the codes, whether they wrap
    ((1, 1, 1), (1, 1, 3), (1, 1, 7), False),
    ((1, 2, 1), (1, 3, 2), (1, 5, 4), False),
    ((2, 1, 2), (2, 3, 3), (3, 5, 4), False),
    ((1, 1, 1), (2, 3, 2), (3, 5, 4), True),
    ((1, 1, 1), (1, 4, 5), (1, 4, 3), True),
]


def naive_moments(x, z, case):
    """Every pair of codes, one by one."""
    stride, spatial_shape, grid, wraps = case
    lags = [-(-s // t) for s, t in zip(spatial_shape, stride, strict=True)]
    k, c = z.shape[1], x.shape[1]
    phi, psi = np.zeros((k, k, *(2 * q - 1 for q in lags))), np.zeros((k, c, *spatial_shape))
    for n, *v in itertools.product(range(len(z)), *map(range, grid)):
        here = z[(n, slice(None), *v)]
        own = (slice(a * t, a * t + s) for a, t, s in zip(v, stride, spatial_shape, strict=True))
        psi += np.multiply.outer(here, x[(n, slice(None), *own)])
        for d in itertools.product(*(range(1 - q, q) for q in lags)):
            there = [a + b for a, b in zip(v, d, strict=True)]
            if wraps:
                there = [a % b for a, b in zip(there, grid, strict=True)]
            elif any(not 0 <= a < b for a, b in zip(there, grid, strict=True)):
                continue
            lag = (b + q - 1 for b, q in zip(d, lags, strict=True))
            phi[(..., *lag)] += np.outer(here, z[(n, slice(None), *there)])
    return phi, psi


@pytest.mark.parametrize("case", CASES)
def test_moments_of_sparse_codes_are_those_of_all_pairs(case, rng):
    stride, spatial_shape, grid, wraps = case
    z = rng.standard_normal((2, 3, *grid)) * (rng.random((2, 3, *grid)) < 0.4)
    x = rng.standard_normal(
        (2, 2, *((v - 1) * t + s for v, t, s in zip(grid, stride, spatial_shape, strict=True)))
    )
    expected, codes = naive_moments(x, z, case), SparseCodes.of(z)
    phi, psi = (np.full(a.shape, np.nan) for a in expected)
    moments(x, (codes.index, codes.values), (grid, stride, wraps), phi, psi)
    np.testing.assert_allclose(phi, expected[0], atol=1e-12)
    np.testing.assert_allclose(psi, expected[1], atol=1e-12)


def coded_problem(rng, shape, dictionary, mask=None):
    x = rng.standard_normal(shape)
    problem = csc.Problem(x, dictionary, csc.L1(0.5), mask)
    z = rng.standard_normal(problem.code_shape) * (rng.random(problem.code_shape) < 0.2)
    return problem, z


SIGNALS = [
    ((2, 1, 20), (3, 1, 4), "full", 1),
    ((2, 1, 21), (3, 1, 4), "full", 3),
    ((1, 2, 9, 11), (3, 2, 3, 4), "valid", 1),
    ((1, 2, 9, 11), (1, 2, 3, 4), "same", (2, 1)),
    ((2, 3, 8, 6), (4, 3, 3, 2), "circular", (1, 2)),
    ((1, 1, 5, 6, 7), (2, 1, 2, 3, 2), "full", 1),
]


@pytest.mark.parametrize(("shape", "atoms", "mode", "stride"), SIGNALS)
def test_statistics_give_data_term_and_gradient_at_the_present_atoms(
    shape, atoms, mode, stride, rng
):
    D = csc.Dictionary(rng.standard_normal(atoms), mode, stride)
    for mask in (None, (rng.random(shape) < 0.6).astype(float)):
        problem, z = coded_problem(rng, shape, D, mask)
        s, steps = stats.sums_of_codes(problem, z), D.geometry.stride
        r = problem.residual(z)
        assert stats.data_term(s, D.atoms, steps) == pytest.approx(0.5 * (r**2).sum())
        slope = stats.correlate(s.phi, D.atoms, steps) - s.psi.reshape(atoms)
        np.testing.assert_allclose(slope, -D.adjoint_atoms(r, z), atol=1e-10)


@pytest.mark.parametrize(("shape", "atoms", "mode", "stride"), SIGNALS)
def test_what_lowers_the_statistics_lowers_the_data_term(shape, atoms, mode, stride, rng):
    D = csc.Dictionary(
        csc.constraints.UnitSphere().project(rng.standard_normal(atoms)), mode, stride
    )
    mask = (rng.random(shape) < 0.6).astype(float)
    problem, z = coded_problem(rng, shape, D, mask)
    s, steps, d = stats.sums_of_codes(problem, z), D.geometry.stride, D.atoms

    def value(d):
        r = csc.Problem(problem.x, csc.Dictionary(d, mode, stride), csc.L1(0.5), mask).residual(z)
        return 0.5 * (r**2).sum()

    bounds, values = [stats.data_term(s, d, steps)], [value(d)]
    for _ in range(5):
        d = descend(d, s, csc.constraints.UnitBall(), 1, steps)
        bounds.append(stats.data_term(s, d, steps))
        values.append(value(d))
    assert (np.diff(bounds) <= 1e-10).all()
    assert (np.array(values) <= np.array(bounds) + 1e-9).all()
    assert values[-1] < values[0]


def planted(rng, shape, atoms, density=0.02, mode="full"):
    """Signals of few of some random atoms, and the atoms."""
    d = csc.constraints.UnitSphere().project(rng.standard_normal(atoms))
    D = csc.Dictionary(d, mode)
    z_shape = (shape[0], atoms[0], *D.spatial_code_shape(shape[2:]))
    z = rng.standard_normal(z_shape) * (rng.random(z_shape) < density)
    return D(z, shape[2:]), d


def learner(n_atoms, atom_shape, **changes):
    defaults = {"lmbda": 0.1, "random_state": 0, "max_iter": 5, "tol": 0}
    return csc.DictionaryLearning(n_atoms, atom_shape, **(defaults | changes))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "dtype", "missing"),
    [
        ("full", "float32", 0.3), ("full", "float64", 0), ("valid", "float64", 0.3),
        ("same", "float32", 0), ("same", "float64", 0.3), ("circular", "float32", 0),
    ],
)  # fmt: skip
def test_batch_learning_never_raises_the_objective(mode, dtype, missing, rng, xp):
    X, _ = planted(rng, (2, 1, 24, 25), (4, 1, 4, 4), mode=mode)
    X[rng.random(X.shape) < missing] = np.nan
    fitted = learner(4, (4, 4), mode=mode, max_iter=25).fit(xp.asarray(X.astype(dtype)))
    objectives = np.array([line.objective for line in fitted.history_])
    slack = 1e-9 if dtype == "float64" else 1e-6
    assert (np.diff(objectives) <= slack * objectives[0]).all()
    assert objectives[-1] < 0.9 * objectives[0]
    assert fitted.atoms_.dtype == dtype


def test_codes_to_learn_from_are_as_near_as_asked(rng):
    X, atoms = rng.laplace(size=(3, 1, 40)), rng.standard_normal((3, 1, 4))
    groups, penalty = Signals(X).take(np.arange(3)), csc.L1(0.2)  # weak: slow to code
    (some,) = encode(groups, csc.Dictionary(atoms), penalty, None, 1e-6)
    z = some.z.dense()
    gaps = csc.certificates.duality_gap(X, some.problem.dictionary, z, penalty)
    assert gaps.sum() <= 2e-6 * some.problem.value(z)


def test_a_list_of_equal_signals_is_an_array_and_unlike_ones_are_learned_together(rng):
    X, _ = planted(rng, (4, 2, 18, 15), (5, 2, 3, 3), 0.05)
    whole, gather_lists = learner(5, (3, 3)).fit(X), learner(5, (3, 3)).fit(list(X))
    np.testing.assert_array_equal(whole.atoms_, gather_lists.atoms_)
    unlike = [X[0], X[1][:, :9], X[2][:, :, :7], X[3]]
    fitted = learner(5, (3, 3), batch_size=2).fit(unlike)
    codes = fitted.transform(unlike)
    assert [z.shape for z in codes] == [(5, 16, 13), (5, 7, 13), (5, 16, 5), (5, 16, 13)]
    assert fitted.inverse_transform(codes)[1].shape == (2, 9, 15)
    total = sum(-fitted.score([x]) for x in unlike)
    assert -fitted.score(unlike) == pytest.approx(total / 4)


def test_missing_samples_do_not_matter(rng):
    X, _ = planted(rng, (2, 1, 40), (3, 1, 5), 0.1)
    mask = rng.random(X.shape) < 0.7
    fits = []
    for fill in (np.nan, 7.0, 0.0):
        fits.append(learner(3, (5,)).fit(np.where(mask, X, fill), mask=mask).atoms_)
    fits.append(learner(3, (5,)).fit(np.where(mask, X, np.nan)).atoms_)
    for other in fits[1:]:
        np.testing.assert_array_equal(fits[0], other)


@pytest.mark.parametrize("size", [None, 1])
def test_resumed_from_a_file_is_bit_identical(size, rng, tmp_path, monkeypatch):
    X, _ = planted(rng, (3, 1, 20, 20), (4, 1, 4, 4))
    options = {"batch_size": size, "crop": (16, 16) if size else None, "max_iter": 6}
    whole, part, steps = learner(4, (4, 4), **options), learner(4, (4, 4), **options), []
    whole.fit(X)
    take_step = type(part)._step

    def interrupted(self, *args):
        if len(steps) == 4:
            raise KeyboardInterrupt
        steps.append(1)
        return take_step(self, *args)

    monkeypatch.setattr(type(part), "_step", interrupted)
    with pytest.warns(UserWarning, match="interrupted after 4 steps"):
        part.set_params(checkpoint=tmp_path / "atoms.npz").fit(X)
    monkeypatch.undo()
    again = csc.resume(tmp_path / "atoms.npz").set_params(checkpoint=None).fit(X)
    np.testing.assert_array_equal(again.atoms_, whole.atoms_)
    assert again.history_ == whole.history_


def test_a_stream_is_learned_a_window_at_a_time(rng):
    X, _ = planted(rng, (6, 1, 30, 30), (4, 1, 4, 4))
    model = learner(4, (4, 4), crop=(12, 12))
    model.fit_stream((X[[i % 6]] for i in itertools.count()), steps=8)
    assert model.state_.n_steps == 8
    assert [line.n_signals for line in model.history_] == list(range(1, 9))
    twin = learner(4, (4, 4), crop=(12, 12))
    for i in range(8):
        twin.partial_fit([X[i % 6]])
    np.testing.assert_array_equal(model.atoms_, twin.atoms_)


@pytest.mark.parametrize("end", [KeyboardInterrupt, Terminated])
def test_an_ended_stream_goes_on_where_it_was(end, rng, tmp_path):
    X, path = planted(rng, (7, 1, 20, 20), (4, 1, 4, 4))[0], tmp_path / "atoms.npz"
    whole = learner(4, (4, 4), crop=(12, 12)).fit_stream(x[None] for x in X)
    part = learner(4, (4, 4), crop=(12, 12), checkpoint=path)

    def ends():
        yield from (x[None] for x in X[:3])
        raise end

    stops = pytest.raises(SystemExit) if end is Terminated else contextlib.nullcontext()
    with pytest.warns(UserWarning, match="interrupted after 3 steps"), stops:
        part.fit_stream(ends())
    again = csc.resume(path)
    assert again.state_.n_steps == 3
    again.fit_stream(itertools.islice((x[None] for x in X), again.state_.n_steps, None))
    np.testing.assert_array_equal(again.atoms_, whole.atoms_)
    assert again.history_ == whole.history_
    assert csc.load(path).state_.n_steps == 7  # the end is kept, though no step of it was due


class KillsOnDeletion:
    def __init__(self, number):
        self.number = number

    def __del__(self):  # Python drops exceptions that are raised here
        signal.raise_signal(self.number)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("kind", ["fit", "stream"])
def test_an_interrupt_that_a_finaliser_swallows_ends_the_fit(number, kind, rng):
    X = planted(rng, (7, 1, 20), (4, 1, 4))[0]
    model = learner(4, (4,), max_iter=50, tol=0)
    step = model._step

    def step_and_finalise(*arguments):
        step(*arguments)
        if model.state_.n_steps == 3:
            KillsOnDeletion(number)

    model._step = step_and_finalise
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    ends = pytest.raises(SystemExit) if number == signal.SIGTERM else contextlib.nullcontext()
    with pytest.warns(UserWarning, match="interrupted after 3 steps"), ends:
        model.fit(X) if kind == "fit" else model.fit_stream(itertools.repeat(X, 50))
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler
    assert model.state_.n_steps == 3


def test_a_stream_takes_no_more_than_it_is_asked_for(rng):
    X, stream = planted(rng, (6, 1, 20), (3, 1, 4))[0], itertools.count()
    model = learner(3, (4,)).fit_stream((X[[i]] for i in stream), steps=2)
    assert next(stream) == 2
    assert model.state_.n_steps == 2
    with pytest.raises(ValueError, match="steps must be >= 1"):
        model.fit_stream(iter(X), steps=0)
    assert not hasattr(learner(3, (4,)).fit_stream([]), "state_")

    def nothing():
        yield from ()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learner(3, (4,)).fit_stream(nothing())


@pytest.mark.parametrize("forgetting", [0.0, 1.0, 4.0])
def test_statistics_forget_by_the_power_asked_for(forgetting, rng, monkeypatch):
    X, parts = planted(rng, (4, 1, 40), (3, 1, 5), 0.1)[0], []
    count = stats.sums_of_codes

    def watched(*coded):
        parts.append(count(*coded))
        return parts[-1]

    monkeypatch.setattr(stats, "sums_of_codes", watched)
    model = learner(3, (5,), forgetting=forgetting, replace_after=None)
    model.fit_stream(x[None] for x in X)
    weights = [np.prod([(1 - 1 / t) ** forgetting for t in range(s + 1, 5)]) for s in range(1, 5)]
    for name in ("phi", "psi", "energy"):
        expected = sum(w * getattr(part, name) for w, part in zip(weights, parts, strict=True))
        np.testing.assert_allclose(getattr(model.state_.statistics, name), expected, atol=1e-12)


def test_dead_atoms_become_the_worst_windows(rng):
    X, _ = planted(rng, (1, 1, 30, 30), (2, 1, 5, 5))
    X[0, 0, 10:15, 3:8] += (
        50 * csc.constraints.UnitSphere().project(rng.standard_normal((1, 1, 5, 5)))[0, 0]
    )
    start = csc.constraints.UnitSphere().project(rng.standard_normal((3, 1, 5, 5)))
    start[1] *= 1e-9
    model = learner(3, (5, 5), init=start, max_iter=1, replace_after=1).fit(X)
    assert model.history_[0].n_replaced == 1
    problem = csc.Problem(X, csc.Dictionary(start), csc.L1(0.1))
    r = problem.residual(csc.solve(problem, tol=0.02).z)[0, 0]
    windows = np.lib.stride_tricks.sliding_window_view(r, (5, 5))
    energies = (windows**2).sum(axis=(2, 3))
    worst = windows[np.unravel_index(energies.argmax(), energies.shape)]
    cosine = (worst * model.atoms_[1, 0]).sum() / np.linalg.norm(worst)
    assert abs(cosine) > 0.9  # coded to another gap than the learner's


@pytest.mark.parametrize(
    ("X", "mask", "words"),
    [
        ([], None, "empty list"),
        ([np.zeros((1, 9)), np.zeros((2, 9))], None, r"X\[1\] has 2 channels"),
        ([np.zeros((1, 9)), np.zeros((1, 3))], None, r"larger than X\[1\]"),
        ([np.zeros((1, 9)), np.full((1, 9), np.nan)], None, r"X\[1\] holds nothing but NaN"),
        (np.zeros((2, 1, 9)), np.full((2, 1, 9), 2), "only 0"),
        (np.ones((2, 1, 9)), np.zeros((2, 1, 9)), "no observed sample"),
        (np.zeros((2, 1, 9)), np.ones((3, 1, 9)), "does not broadcast"),
        ([np.zeros((1, 9))], [], "mask has 0 arrays for 1 signals"),
    ],
)
def test_bad_signals_are_refused(X, mask, words):
    model = learner(2, (4,))
    with pytest.raises(ValueError, match=words):
        model.fit(X, mask=mask)
    assert not hasattr(model, "state_")
