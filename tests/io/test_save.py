"""Saved models load unchanged; damaged and foreign files raise errors."""

import json
import os
import zipfile
from functools import partial

import numpy as np
import pytest

import csc
from csc.io._save import HOMES


@pytest.fixture
def fitted(rng):
    model = csc.DictionaryLearning(
        3,
        (4,),
        penalty=csc.L1(0.1, weights=np.ones((3, 1)), positive=True),
        constraint=csc.constraints.ZeroMean() & csc.constraints.UnitBall(),
        homeostasis=csc.learning.HomeostaticGain(goal=0.5),
        init=rng.standard_normal((3, 1, 4)),
        random_state=np.random.RandomState(3),
        max_iter=2,
    )
    return model.fit(rng.standard_normal((30, 1, 4)))


def test_a_learner_comes_back_whole(fitted, tmp_path, rng):
    csc.save(tmp_path / "model.npz", fitted)
    back = csc.load(tmp_path / "model.npz")
    np.testing.assert_array_equal(back.atoms_, fitted.atoms_)
    assert back.constraint == fitted.constraint
    assert back.homeostasis == fitted.homeostasis
    assert back.history_ == fitted.history_
    assert back.seed_ == fitted.seed_
    X = rng.standard_normal((5, 1, 4))
    np.testing.assert_array_equal(back.transform(X), fitted.transform(X))
    np.testing.assert_array_equal(back.partial_fit(X).atoms_, fitted.partial_fit(X).atoms_)


def test_an_unfitted_learner_and_a_dictionary(tmp_path):
    csc.save(tmp_path / "a.npz", csc.DictionaryLearning(3, (4, 4), lmbda=csc.Relative(0.1)))
    assert csc.load(tmp_path / "a.npz").get_params()["lmbda"] == csc.Relative(0.1)
    csc.save(tmp_path / "d.npz", csc.Dictionary(np.ones((1, 1, 2), "float32")))
    assert csc.load(tmp_path / "d.npz").dtype == "float32"


def test_a_seed_of_numpy_is_kept(tmp_path):
    csc.save(tmp_path / "model", csc.DictionaryLearning(2, (3,), 0.1, random_state=np.int64(7)))
    assert csc.load(tmp_path / "model").random_state == 7


def test_the_file_needs_no_pickle(fitted, tmp_path):
    csc.save(tmp_path / "model.npz", fitted)
    with np.load(tmp_path / "model.npz", allow_pickle=False) as file:
        for name in file.files:
            assert file[name].dtype != object


@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.99])
def test_a_cut_file_is_refused_in_words(fitted, tmp_path, keep):
    csc.save(tmp_path / "model.npz", fitted)
    data = (tmp_path / "model.npz").read_bytes()
    cut = data[: int(keep if keep > 1 else keep * len(data))]
    (tmp_path / "cut.npz").write_bytes(cut)
    with pytest.raises(ValueError, match=r"cut.npz is damaged, or not a file of csc.save"):
        csc.load(tmp_path / "cut.npz")


def test_other_files_are_refused_in_words(tmp_path):
    np.savez(tmp_path / "other.npz", a=np.ones(3))
    with pytest.raises(ValueError, match="not a file of csc.save"):
        csc.load(tmp_path / "other.npz")
    np.save(tmp_path / "plain.npy", np.ones(3))
    with pytest.raises(ValueError, match="not a file of csc.save"):
        csc.load(tmp_path / "plain.npy")
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(ValueError, match="not a file of csc.save"):
        csc.load(tmp_path / "text.npz")
    np.savez(tmp_path / "newer.npz", csc=np.array('{"format": 99, "model": null}'))
    with pytest.raises(ValueError, match="has format 99"):
        csc.load(tmp_path / "newer.npz")
    with pytest.raises(FileNotFoundError):
        csc.load(tmp_path / "missing.npz")


def test_what_cannot_be_saved_leaves_the_old_file(fitted, tmp_path):
    csc.save(tmp_path / "model.npz", fitted)
    old = (tmp_path / "model.npz").read_bytes()

    class Mine(csc.constraints.UnitBall):
        pass

    with pytest.raises(TypeError, match="model.constraint is a Mine, which cannot be saved safely"):
        csc.save(tmp_path / "model.npz", csc.DictionaryLearning(3, (4,), 0.1, constraint=Mine()))
    assert (tmp_path / "model.npz").read_bytes() == old


@pytest.mark.parametrize("model", [3, None, "atoms", np.ones((2, 1, 3)), csc.solvers.FISTA])
def test_what_is_no_model_is_refused(model, tmp_path):
    with pytest.raises(TypeError, match="model must be a dictionary, a learner"):
        csc.save(tmp_path / "model.npz", model)
    with pytest.raises(TypeError, match=r"the path comes first: csc\.save\(path, Dictionary"):
        csc.save(csc.Dictionary(np.ones((2, 1, 3))), tmp_path / "model.npz")
    assert not list(tmp_path.iterdir())


def test_layers_come_back(rng, tmp_path):
    layers = csc.MultiLayerDictionary(
        [
            csc.Dictionary(rng.standard_normal((3, 1, 4)), stride=2),
            csc.Dictionary(rng.standard_normal((2, 3, 3))),
        ]
    )
    csc.save(tmp_path / "layers.npz", layers)
    back = csc.load(tmp_path / "layers.npz")
    assert repr(back) == repr(layers)
    np.testing.assert_array_equal(back.effective().atoms, layers.effective().atoms)


@pytest.mark.skipif(os.name != "posix", reason="only POSIX has umasks")
def test_a_file_has_the_usual_permissions_and_no_other_thread_sees_another_umask(
    tmp_path, monkeypatch
):
    before = os.umask(0o027)
    changed = []
    monkeypatch.setattr(os, "umask", changed.append)
    try:
        csc.save(tmp_path / "d.npz", csc.Dictionary(np.eye(2)[:, None]))
    finally:
        monkeypatch.undo()
        os.umask(before)
    assert (tmp_path / "d.npz").stat().st_mode & 0o777 == 0o640
    assert not changed


def test_an_interrupted_save_leaves_the_old_file_and_no_litter(fitted, tmp_path, monkeypatch):
    csc.save(tmp_path / "model.npz", fitted)
    old = (tmp_path / "model.npz").read_bytes()

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("csc.io._save.os.fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        csc.save(tmp_path / "model.npz", csc.Dictionary(np.ones((1, 1, 2))))
    monkeypatch.undo()
    assert (tmp_path / "model.npz").read_bytes() == old
    assert [p.name for p in tmp_path.iterdir()] == ["model.npz"]


# Files that were tampered with. Whatever is wrong with them, one error says it.

DAMAGED = r"model.npz is damaged, or not a file of csc.save"


def of_signals(rng):
    learner = csc.DictionaryLearning(2, (3,), 0.3, batch_size=None, max_iter=2, stride=2)
    return learner.fit(rng.standard_normal((3, 2, 13)))


def of_layers(rng):
    layers = [csc.DictionaryLearning(3, (3,), 0.1, stride=2), csc.DictionaryLearning(2, (2,), 0.1)]
    learner = csc.MultiLayerDictionaryLearning(layers, max_iter=1, pretrain=False, batch_size=None)
    return learner.fit(rng.standard_normal((2, 1, 16)))


MODELS = {"signals": of_signals, "layers": of_layers}


@pytest.fixture(scope="module", params=MODELS)
def parts(request, tmp_path_factory):
    """The arrays of a saved learner, and the folder of its file."""
    folder = tmp_path_factory.mktemp(request.param)
    csc.save(folder / "model.npz", MODELS[request.param](np.random.default_rng(0)))
    with np.load(folder / "model.npz") as file:
        return dict(file), folder


def assert_refused(path):
    for read in (csc.load, csc.resume):
        with pytest.raises(ValueError, match=DAMAGED):
            read(path)


CHANGES = {
    "one more": lambda a: np.concatenate([a, a[:1]]),
    "one axis more": lambda a: a[None],
    "complex": lambda a: a.astype(complex),
    "halves": lambda a: a.astype("float16"),
    "swapped bytes": lambda a: a.astype(a.dtype.newbyteorder()),
    "words": lambda a: a.astype(str),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_arrays_that_are_not_the_models_are_refused(change, parts, tmp_path):
    arrays, _ = parts
    for name in set(arrays) - {"csc"}:
        np.savez(tmp_path / "model.npz", **(arrays | {name: change(arrays[name])}))
        assert_refused(tmp_path / "model.npz")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_arrays_that_are_not_finite_are_refused(value, parts, tmp_path):
    arrays, _ = parts
    for name in (n for n, a in arrays.items() if a.dtype.kind == "f"):
        spoilt = arrays[name].copy()
        spoilt.flat[-1] = value
        np.savez(tmp_path / "model.npz", **(arrays | {name: spoilt}))
        assert_refused(tmp_path / "model.npz")


def test_arrays_too_many_and_too_few_are_refused(parts, tmp_path):
    arrays, _ = parts
    np.savez(tmp_path / "model.npz", **arrays, more=np.ones(2))
    assert_refused(tmp_path / "model.npz")
    for name in arrays:
        np.savez(tmp_path / "model.npz", **{n: a for n, a in arrays.items() if n != name})
        assert_refused(tmp_path / "model.npz")


def test_codes_beyond_their_shape_are_refused(tmp_path):
    """Kernels would follow such an index out of the array."""
    csc.save(tmp_path / "model.npz", of_signals(np.random.default_rng(0)))
    with np.load(tmp_path / "model.npz") as file:
        arrays = dict(file)
    (name,) = (n for n in arrays if n.endswith(".index"))
    for index in (-1, 10**6):
        arrays[name][-1] = index
        np.savez(tmp_path / "model.npz", **arrays)
        assert_refused(tmp_path / "model.npz")


HEADERS = {
    "unknown type": lambda form: form | {"type": "Popen"},
    "no type": lambda form: {"fields": form["fields"]},
    "a method in the place of what was learned": lambda form: with_field(form, "fit", 3),
    "a parameter that is none": lambda form: with_field(form, "colour", 3),
    "energy": lambda form: json.loads(
        json.dumps(form).replace('"energy": ', '"energy": NaN, "x": ')
    ),
    "no form": lambda _: 3.5,
}


def with_field(form, name, value):
    return form | {"fields": form["fields"] | {name: value}}


@pytest.mark.parametrize("change", HEADERS.values(), ids=HEADERS)
def test_a_header_of_another_model_is_refused(change, parts, tmp_path):
    arrays, _ = parts
    header = json.loads(str(arrays["csc"]))
    header = json.dumps(header | {"model": change(header["model"])})
    np.savez(tmp_path / "model.npz", **(arrays | {"csc": np.array(header)}))
    assert_refused(tmp_path / "model.npz")


def npy_header(shape):
    text = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}}}"
    return b"\x93NUMPY\x01\x00" + (len(text) + 1).to_bytes(2, "little") + text.encode() + b"\n"


def repacked(path, arrays, method=zipfile.ZIP_STORED, **others):
    """The archive, with other bytes under some names."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name in arrays:
            with archive.open(f"{name}.npy", "w") as file:
                if name in others:
                    file.write(others[name])
                else:
                    np.lib.format.write_array(file, arrays[name])


def test_what_unpacks_to_more_than_its_file_is_refused(parts, tmp_path):
    arrays, _ = parts
    atoms = next(n for n in arrays if n != "csc")
    bombs = {
        "deflated": partial(repacked, method=zipfile.ZIP_DEFLATED),
        "8 TB of atoms": partial(repacked, **{atoms: npy_header((10**12, 1, 1))}),
        "8 TB of header": partial(repacked, csc=npy_header((10**12,))),
        "no size": partial(repacked, **{atoms: npy_header((-1, 1, 1))}),
    }
    for bomb in bombs.values():
        bomb(tmp_path / "model.npz", arrays)
        assert_refused(tmp_path / "model.npz")


def test_an_unknown_compression_is_refused(parts, tmp_path):
    data = bytearray((parts[1] / "model.npz").read_bytes())
    data[data.find(b"PK\x01\x02") + 10] = 99  # in the directory, which is what is read
    (tmp_path / "model.npz").write_bytes(data)
    assert_refused(tmp_path / "model.npz")


def test_no_cut_and_no_flipped_bits_pass_unseen(parts, tmp_path):
    """What is refused is refused in the same words; what is not has not changed the model."""
    arrays, folder = parts
    data, rng = (folder / "model.npz").read_bytes(), np.random.default_rng(0)
    path, again = tmp_path / "model.npz", tmp_path / "again.npz"
    passed = 0
    for at in rng.integers(len(data), size=200):
        spoilt = bytearray(data)
        spoilt[at] ^= int(rng.integers(1, 256))
        for content in (spoilt, data[:at]):
            path.write_bytes(content)
            try:
                model = csc.load(path)
            except ValueError as error:
                assert "is damaged, or not a file of csc.save" in str(error)  # noqa: PT017
            else:
                passed += 1
                csc.save(again, model)
                with np.load(again) as file:
                    assert all(map(np.array_equal, arrays.values(), dict(file).values()))
    assert passed < 100  # bits of dates and the like


def test_a_checkpoint_that_holds_no_learner_is_refused(tmp_path):
    csc.save(tmp_path / "d.npz", csc.Dictionary(np.ones((1, 1, 2))))
    with pytest.raises(ValueError, match="holds a Dictionary, no learner; use csc.load"):
        csc.resume(tmp_path / "d.npz")


@pytest.mark.parametrize("kind", ["learner", "ksvd"])
def test_a_file_of_before_a_parameter_was_added_has_its_default(kind, fitted, tmp_path, rng):
    x = rng.standard_normal((20, 1, 4))
    model = fitted if kind == "learner" else csc.learning.KSVD(3, (4,), 1, max_iter=1).fit(x)
    csc.save(tmp_path / "new.npz", model)
    with np.load(tmp_path / "new.npz") as file:
        arrays = dict(file)
    header = json.loads(str(arrays.pop("csc")))
    younger = {
        "learner": ("n_fixed", "gradient_weights", "init"),
        "ksvd": ("max_squared_residual",),
    }
    for name in younger[kind]:
        del header["model"]["fields"][name]
    if kind == "learner":
        del arrays["model.init"]
        for name in ("kept", "kept_at"):
            del header["model"]["fields"]["state_"]["fields"][name]
    np.savez(tmp_path / "old.npz", csc=np.array(json.dumps(header)), **arrays)
    old = csc.load(tmp_path / "old.npz")
    for name in younger[kind]:
        assert getattr(old, name) == getattr(type(model), name)
    np.testing.assert_array_equal(old.atoms_, model.atoms_)
    np.testing.assert_array_equal(old.transform(x), model.transform(x))
    del header["model"]["fields"]["n_atoms"]  # which has no default
    np.savez(tmp_path / "old.npz", csc=np.array(json.dumps(header)), **arrays)
    with pytest.raises(ValueError, match=r"is damaged.*n_atoms"):
        csc.load(tmp_path / "old.npz")


SOLVERS = {
    "ADMM": (2.0,), "ConvOMP": (3,), "CoordinateDescent": (1e-3,), "FISTA": (0.1, False), "GreedyFISTA": (),
    "GroupDescent": (1e-3,), "ISTA": (0.1,), "MeasuredWorkingSet": (1e-3,), "OMP": (3,), "PrimalDual": (0.2,),
    "Reweighted": (1e-3,), "SimultaneousOMP": (3,), "WorkingSet": (1e-3,),
}  # fmt: skip


@pytest.mark.parametrize("name", SOLVERS)
def test_learners_of_layers_keep_the_solver_of_their_pursuit(name, tmp_path):
    pursuit = csc.solvers.LayeredBasisPursuit(getattr(csc.solvers, name)(*SOLVERS[name]))
    layers = [csc.DictionaryLearning(3, (4,), 0.1), csc.DictionaryLearning(2, (3,), 0.1)]
    learner = csc.learning.MultiLayerDictionaryLearning(layers, lmbda=[0.1, 0.1], pursuit=pursuit)
    csc.save(tmp_path / "learner.npz", learner)
    assert csc.load(tmp_path / "learner.npz").pursuit == pursuit


def test_every_solver_can_be_saved():
    found = [getattr(csc.solvers, name) for name in csc.solvers.__all__]
    solvers = {s.__name__ for s in found if isinstance(s, type) and hasattr(s, "supports")}
    assert solvers >= set(SOLVERS)
    assert solvers <= set(HOMES)
