"""Constraints, health, plans, checkpoints: what keeps learning well."""

import os
import signal
import threading
import time

import numpy as np
import pytest

import csc
from csc.learning._batch import Batch
from csc.learning._checkpoints import write_checkpoint
from csc.learning._dead_atoms import replace_dead
from csc.learning._diagnostics import centres, examine, find_duplicates, lesser_duplicates
from csc.learning._grow import grow
from csc.learning._memory_plan import MemoryPlan
from csc.learning._recentre import recentre
from csc.learning._step import EncodedBatch
from csc.operators._sparse_codes import SparseCodes
from demos.bench import kill

CONSTRAINTS = [
    csc.constraints.NonNegative() & csc.constraints.UnitBall(),
    csc.constraints.SparseAtoms(5) & csc.constraints.UnitSphere(),
    csc.constraints.Separable() & csc.constraints.UnitBall(),
    csc.constraints.TaperedBall(0.7),
]


@pytest.mark.parametrize("constraint", CONSTRAINTS, ids=repr)
@pytest.mark.parametrize("shape", [(3, 2, 6), (3, 2, 5, 4)])
def test_projections_are_the_nearest_points(constraint, shape, rng):
    v = 2 * rng.standard_normal(shape)
    p = constraint.project(v)
    np.testing.assert_allclose(constraint.project(p), p, atol=1e-9)
    for _ in range(300):  # no other point of the set is nearer
        other = constraint.project(p + 10 ** rng.uniform(-3, 1) * rng.standard_normal(shape))
        for k in range(len(v)):
            assert ((v[k] - p[k]) ** 2).sum() <= ((v[k] - other[k]) ** 2).sum() + 1e-9


@pytest.mark.parametrize(("spatial_shape", "edge"), [((7, 9), 0.6), ((1,), 0.5), ((4, 2), 1.0)])
@pytest.mark.parametrize("size", [0.0, 0.3, 5.0, 1e6])
def test_a_tapered_atom_is_a_window_times_an_atom_of_norm_one(spatial_shape, edge, size, rng):
    atoms = size * rng.standard_normal((4, 2, *spatial_shape))
    p = csc.constraints.TaperedBall(edge).project(atoms)
    w = np.ones(())
    for s in spatial_shape:
        share = np.minimum(np.arange(s), np.arange(s)[::-1]) * 2 / max(s - 1, 1) / edge
        w = np.multiply.outer(w, np.sin(np.pi / 2 * share.clip(0, 1)) ** 2 if s > 1 else [1.0])
    inside = w > 0
    assert (p[..., ~inside] == 0).all()
    for atom, near in zip(atoms[..., inside], p[..., inside], strict=True):
        moved = (atom - near) * w[inside] ** 2  # = m near, with the multiplier m >= 0
        m = (moved * near).sum() / max((near**2).sum(), 1e-300)
        np.testing.assert_allclose(moved, m * near, atol=1e-12 * max(size, 1))
        norm2 = ((near / w[inside]) ** 2).sum()
        assert m >= -1e-15
        assert norm2 == pytest.approx(1, rel=1e-12) or (norm2 < 1 and abs(m) < 1e-12)


@pytest.mark.parametrize("constraint", CONSTRAINTS, ids=repr)
def test_learning_obeys_any_constraint_and_never_rises(constraint, rng):
    X = rng.standard_normal((2, 1, 20, 18))
    model = csc.DictionaryLearning(4, (5, 4), 0.5, constraint=constraint, max_iter=12, tol=0)
    model.set_params(random_state=0, replace_after=None).fit(X)
    np.testing.assert_allclose(constraint.project(model.atoms_), model.atoms_, atol=1e-9)
    objectives = np.array([line.objective for line in model.history_])
    assert (np.diff(objectives) <= 1e-9 * objectives[0]).all()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: csc.constraints.SparseAtoms(0), "n_nonzero must be >= 1"),
        (lambda: csc.constraints.TaperedBall(1.5), "edge must be <= 1"),
    ],
)
def test_bad_constraints_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_diagnostics_report_duplicate_dead_and_off_centre_atoms(rng):
    atoms = csc.constraints.UnitSphere().project(rng.standard_normal((5, 1, 9)))
    atoms[1] = -np.roll(np.pad(atoms[0, 0, 2:7], 2), 1)
    atoms[0] = np.pad(atoms[0, 0, 2:7], 2)
    atoms[2] = 0
    atoms[2, 0, 0] = 1  # all at one end
    report = examine(atoms, np.array([1.0, 2, 0, 3, 4]), np.arange(5))
    assert [(i, j) for i, j, _ in report.duplicates] == [(0, 1)]
    assert list(report.dead) == [2]
    assert 2 in report.off_centre
    np.testing.assert_allclose(report.share.sum(), 1)
    assert "1 dead, 1 pairs of duplicates" in repr(report)
    np.testing.assert_allclose(centres(atoms)[2], -4)
    assert list(np.flatnonzero(lesser_duplicates(atoms, report.share))) == [0]
    assert find_duplicates(np.zeros((2, 1, 3))) == []


def test_an_atom_whose_duplicate_goes_stays():
    angles = np.array([0.0, 0.3, 0.6])  # cosines of neighbours 0.955, of the ends 0.825
    chain = np.stack([np.cos(angles), np.sin(angles)], axis=1)[:, :, None]  # two channels, no shift
    assert [(i, j) for i, j, _ in find_duplicates(chain)] == [(0, 1), (1, 2)]
    assert list(lesser_duplicates(chain, np.array([3.0, 2, 1]))) == [False, True, False]


@pytest.mark.parametrize("mode", ["full", "valid", "same", "circular"])
def test_an_atom_learned_off_centre_is_moved_and_its_codes_with_it(mode, rng):
    true = csc.constraints.UnitSphere().project(rng.standard_normal((1, 2, 7, 6)))
    D = csc.Dictionary(true, mode)
    z = np.zeros((1, 1, *D.spatial_code_shape((60, 60))))
    z[0, 0, 12::12, 12::12] = rng.choice([-1.0, 1.0], z[0, 0, 12::12, 12::12].shape)
    X, start = D(z, (60, 60)), np.zeros_like(true)
    start[:, :, 2:, :-1] = true[:, :, :-2, 1:]  # lies two rows up and a column to the right
    options = {
        "init": csc.constraints.UnitSphere().project(start),
        "mode": mode,
        "max_iter": 8,
        "tol": 0,
    }
    stuck = csc.DictionaryLearning(1, (7, 6), 0.05, **options).fit(X)
    model = csc.DictionaryLearning(1, (7, 6), 0.05, recentre_every=2, **options).fit(X)
    assert csc.analysis.match_dictionaries(true, stuck.atoms_).score < 0.96
    match = csc.analysis.match_dictionaries(true, model.atoms_, shift=False)
    assert match.score > 0.999
    assert model.history_[-1].objective < stuck.history_[-1].objective
    with pytest.raises(ValueError, match="recentre_every needs stride 1"):
        csc.DictionaryLearning(1, (7, 6), 0.05, recentre_every=2, stride=2).fit(X)


@pytest.mark.parametrize("mode", ["full", "circular"])
def test_moved_atoms_and_codes_explain_the_signal(mode, rng):
    true = csc.constraints.UnitSphere().project(rng.standard_normal((1, 1, 7, 6)))
    D = csc.Dictionary(true, mode)
    z = np.zeros((1, 1, *D.spatial_code_shape((40, 40))))
    z[0, 0, 8:-8:9, 8:-8:9] = 1
    X = D(z, (40, 40))
    start = np.zeros_like(true)
    start[:, :, 2:, :-1] = true[:, :, :-2, 1:]
    problem = csc.Problem(X, csc.Dictionary(start, mode), csc.L1(0.1))
    placed = np.roll(z, (-2, 1), axis=(2, 3))  # where the start explains most
    atoms, (codes,), moved = recentre(start, Batch([EncodedBatch(problem, placed)]))
    assert moved.all()
    np.testing.assert_allclose(atoms, true, atol=1e-12)
    np.testing.assert_array_equal(codes, z)


def test_windows_that_replace_atoms_do_not_overlap(rng):
    X = 0.01 * rng.standard_normal((2, 1, 30))
    X[0, 0, 3:8], X[0, 0, 20:25], X[1, 0, 10:15] = 5, -4, [3, 0, 3, 0, 3]
    problem = csc.Problem(X, csc.Dictionary(np.ones((3, 1, 5))), csc.L1(99.0))
    coded, dead = [EncodedBatch(problem, problem.zeros())], np.ones(3, bool)
    atoms, replaced = replace_dead(np.ones((3, 1, 5)), dead, coded, csc.constraints.UnitSphere())
    assert replaced.all()
    expected = csc.constraints.UnitSphere().project(
        np.stack([X[0, :, 3:8], X[0, :, 20:25], X[1, :, 10:15]])
    )
    np.testing.assert_allclose(atoms, expected)


def test_the_lesser_twin_is_replaced(rng, monkeypatch):
    true = csc.constraints.UnitSphere().project(rng.standard_normal((2, 1, 12)))
    X = csc.Dictionary(true)(rng.standard_normal((2, 2, 189)) * (rng.random((2, 2, 189)) < 0.03))
    found = []

    def second(atoms, squares):
        found.append(squares * (abs(atoms).max() > 0))
        return np.array([False, True])

    monkeypatch.setattr("csc.learning._step.lesser_duplicates", second)
    options = {"init": true, "max_iter": 2, "tol": 0, "recentre_every": 2}
    model = csc.DictionaryLearning(2, (12,), 0.05, **options).fit(X)
    assert [line.n_replaced for line in model.history_] == [0, 1]
    assert model.state_.statistics.squares[1] == 0
    assert (found[0] > 0).all()


def test_plan_says_what_a_fit_takes_and_refuses_too_much(rng):
    X = rng.standard_normal((3, 1, 40, 40)).astype("float32")
    model = csc.DictionaryLearning(8, (5, 5), 0.1)
    memory_plan = model.memory_plan(X)
    assert memory_plan.fits
    assert memory_plan.statistics == 4 * 8 * (8 * 8 * 81 + 8 * 25) + 16 * 8 * 2 * 14**2
    assert "total=" in repr(memory_plan)
    assert not hasattr(model, "state_")
    assert model.set_params(crop=(10, 10)).memory_plan(X).coding < memory_plan.coding
    with pytest.raises(MemoryError, match="fewer or smaller atoms"):
        csc.DictionaryLearning(100_000, (5, 5), 0.1).fit(X)
    with pytest.raises(MemoryError, match="fewer or smaller"):
        MemoryPlan(2**70, 0, 0, 1.0).check()


def fitted(path, rng, **changes):
    X = rng.standard_normal((20, 1, 12))
    options = {"batch_size": 5, "max_iter": 3, "random_state": 0, "tol": 0}
    model = csc.DictionaryLearning(3, (4,), 0.3, checkpoint=path, checkpoint_every=2)
    return model.set_params(**(options | changes)).fit(X), X


class OwnConstraint:
    def project(self, atoms):
        return csc.constraints.UnitBall().project(atoms)


UNWRITABLE = {
    "number": ({"checkpoint": 5}, TypeError, "checkpoint must be a path or None, got int"),
    "folder": ({"checkpoint": "."}, ValueError, "checkpoint '.' is a folder"),
    "no folder": (
        {"checkpoint": "none/atoms.npz"}, FileNotFoundError,
        "checkpoint 'none/atoms.npz' cannot be written: No such file",
    ),
    "own constraint": (
        {"checkpoint": "atoms.npz", "constraint": OwnConstraint()}, TypeError,
        "checkpoint cannot be written: model.constraint is a OwnConstraint",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("options", "error", "message"), UNWRITABLE.values(), ids=UNWRITABLE)
@pytest.mark.parametrize("call", ["fit", "partial_fit", "fit_stream", "grow"])
def test_a_checkpoint_that_cannot_be_written_is_refused_before_learning(
    call, options, error, message, rng, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    X, learner = rng.standard_normal((20, 1, 12)), csc.DictionaryLearning(3, (4,), 0.3, **options)
    calls = {"fit_stream": lambda: learner.fit_stream([X]), "grow": lambda: grow(learner, X)}
    with pytest.raises(error, match=message):
        calls.get(call, lambda: getattr(learner, call)(X))()
    assert not hasattr(learner, "state_")
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_that_cannot_be_written_keeps_what_was_learned(rng, tmp_path):
    learner, X = fitted(None, rng)
    atoms = learner.atoms_
    learner.set_params(checkpoint=tmp_path / "none" / "atoms.npz")
    with pytest.raises(FileNotFoundError, match="cannot be written"):
        learner.fit(X)
    np.testing.assert_array_equal(learner.atoms_, atoms)


def test_a_spoilt_checkpoint_is_refused_and_the_one_before_is_used(rng, tmp_path):
    path = tmp_path / "atoms.npz"
    whole, X = fitted(path, rng)
    assert csc.resume(path).state_.n_steps == 12
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.warns(UserWarning, match="damaged.*the checkpoint before it"):
        part = csc.resume(path)
    np.testing.assert_array_equal(part.set_params(checkpoint=None).fit(X).atoms_, whole.atoms_)
    path.unlink()
    with pytest.warns(UserWarning, match="the checkpoint before it"):
        csc.resume(path)
    (tmp_path / "atoms.npz.before").unlink()
    with pytest.raises(FileNotFoundError):
        csc.resume(path)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM to handle")
def test_sigterm_leaves_a_checkpoint_and_ends(rng, tmp_path, monkeypatch):
    path = tmp_path / "atoms.npz"
    take_step = csc.DictionaryLearning._step

    def slow(self, *args):
        take_step(self, *args)
        if self.state_.n_steps == 3:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1)

    monkeypatch.setattr(csc.DictionaryLearning, "_step", slow)
    handler = signal.getsignal(signal.SIGTERM)
    with (
        pytest.warns(UserWarning, match="interrupted after 3 steps"),
        pytest.raises(SystemExit, match="143"),
    ):
        fitted(path, rng)
    assert csc.load(path).state_.n_steps == 3
    assert signal.getsignal(signal.SIGTERM) is handler


def test_fit_in_a_thread_leaves_signals_alone(rng, tmp_path):
    done = []
    thread = threading.Thread(target=lambda: done.append(fitted(tmp_path / "a.npz", rng)))
    thread.start()
    thread.join()
    assert done


def test_a_checkpoint_of_another_version_is_refused_and_the_one_before_is_used(rng, tmp_path):
    path = tmp_path / "atoms.npz"
    whole, X = fitted(path, rng)
    np.savez(path, csc=np.array('{"format": 99, "model": null}'))
    with pytest.raises(ValueError, match="has format 99, but this version of csc reads format 1"):
        csc.load(path)
    with pytest.warns(UserWarning, match="has format 99.*the checkpoint before it"):
        part = csc.resume(path)
    np.testing.assert_array_equal(part.fit(X).atoms_, whole.atoms_)
    (tmp_path / "atoms.npz.before").write_bytes(b"neither")
    path.write_bytes(b"nor")
    with (
        pytest.warns(UserWarning, match="before it"),
        pytest.raises(ValueError, match=r"before is damaged"),
    ):
        csc.resume(path)


@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
def test_the_checkpoint_is_whole_at_every_moment_of_a_write(links, rng, tmp_path, monkeypatch):
    path, seen = tmp_path / "atoms.npz", []

    def no_link(*_):
        raise OSError("not on this file system")

    if not links:
        monkeypatch.setattr("csc.learning._checkpoints.os.link", no_link)
    rename = os.replace

    def watched(old, new):
        if path.exists() or str(new).endswith(".before"):
            seen.append(csc.load(path).state_.n_steps)
        rename(old, new)
        seen.append(csc.load(path).state_.n_steps)

    (tmp_path / "atoms.npz12345678.part").write_bytes(b"cut off by a kill")
    (tmp_path / "atoms.npz1-2345678.part").write_bytes(b"another one's")
    monkeypatch.setattr("csc.learning._checkpoints.os.replace", watched)
    fitted(path, rng)
    assert sorted(seen) == seen
    assert {2, 4, 6, 8, 10, 12} == set(seen)
    assert csc.load(tmp_path / "atoms.npz.before").state_.n_steps in (10, 12)
    names = {"atoms.npz", "atoms.npz.before", "atoms.npz1-2345678.part"}
    assert {p.name for p in tmp_path.iterdir()} == names


def test_two_names_of_one_checkpoint_do_not_leave_a_third(rng, tmp_path):
    path, before = tmp_path / "atoms.npz", tmp_path / "atoms.npz.before"
    model, _ = fitted(path, rng)
    before.unlink()
    os.link(path, before)  # as a kill between two renames leaves it
    write_checkpoint(path, model)
    assert {p.name for p in tmp_path.iterdir()} == {path.name, before.name}


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows ends processes in another way")
def test_learning_survives_kills_bit_for_bit():
    found = kill.survive("online", 2, 0.3, np.random.default_rng(0))
    assert found["kills"] == found["checkpoint_valid"] == 2
    assert found["bit_identical"] == found["runs"] >= 1
    assert found["files_left_over"] == 0


def test_learning_goes_on_with_atoms_of_the_same_shape_only(rng):
    X = rng.standard_normal((4, 1, 20))
    learner = csc.DictionaryLearning(3, (4,), 0.3, max_iter=1, warm_start=True, random_state=0)
    learner.fit(X).set_params(atom_shape=(5,))
    with pytest.raises(ValueError, match=r"atoms of \(4,\) are learned so far"):
        learner.fit(X)


def test_signals_that_nobody_saw_cannot_be_coded(rng):
    X = [rng.standard_normal((1, n)) for n in (20, 25, 30)]
    learner = csc.DictionaryLearning(3, (4,), 0.3, max_iter=1, random_state=0).fit(X)
    mask = [np.ones_like(x) for x in X]
    mask[1][:] = 0
    with pytest.raises(ValueError, match="nothing was observed; drop them"):
        learner.transform(X, mask=mask)


def test_a_penalty_of_another_kind_is_taken_up(rng):
    X = rng.standard_normal((4, 1, 20))
    learner = csc.DictionaryLearning(
        3, (4,), csc.Relative(0.2), max_iter=1, warm_start=True, random_state=0
    ).fit(X)
    learner.set_params(lmbda=None, penalty=csc.ElasticNet(csc.Relative(0.2)), max_iter=2).fit(X)
    assert isinstance(learner.penalty_, csc.ElasticNet)


def test_groups_of_sparse_codes_have_their_penalty(rng):
    D = csc.Dictionary(rng.standard_normal((4, 1, 3)))
    problem = csc.Problem(rng.standard_normal((2, 1, 9)), D, csc.GroupL21(0.5, 2))
    z = rng.standard_normal(problem.code_shape)
    assert problem.penalty_value(SparseCodes.of(z)) == pytest.approx(problem.penalty.value(z))
