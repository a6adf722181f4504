import numpy as np
import pytest

import csc


@pytest.fixture
def fitted(rng):
    model = csc.DictionaryLearning(
        3,
        (4,),
        penalty=csc.L1(0.1, weights=np.ones((3, 1)), positive=True),
        constraint=csc.ZeroMean() & csc.UnitBall(),
        homeostasis=csc.HomeostaticGain(goal=0.5),
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
    with pytest.raises(ValueError, match=r"cut.npz is damaged, cut off, or not a csc file"):
        csc.load(tmp_path / "cut.npz")


def test_other_files_are_refused_in_words(tmp_path):
    np.savez(tmp_path / "other.npz", a=np.ones(3))
    with pytest.raises(ValueError, match="not a csc file"):
        csc.load(tmp_path / "other.npz")
    np.save(tmp_path / "plain.npy", np.ones(3))
    with pytest.raises(ValueError, match="not a csc file"):
        csc.load(tmp_path / "plain.npy")
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(ValueError, match="not a csc file"):
        csc.load(tmp_path / "text.npz")
    np.savez(tmp_path / "newer.npz", csc=np.array('{"format": 99, "model": null}'))
    with pytest.raises(ValueError, match="has format 99"):
        csc.load(tmp_path / "newer.npz")
    with pytest.raises(FileNotFoundError):
        csc.load(tmp_path / "missing.npz")


def test_what_cannot_be_saved_leaves_the_old_file(fitted, tmp_path):
    csc.save(tmp_path / "model.npz", fitted)
    old = (tmp_path / "model.npz").read_bytes()

    class Mine(csc.UnitBall):
        pass

    with pytest.raises(TypeError, match="model.constraint is a Mine, which has no safe file form"):
        csc.save(tmp_path / "model.npz", csc.DictionaryLearning(3, (4,), 0.1, constraint=Mine()))
    assert (tmp_path / "model.npz").read_bytes() == old


@pytest.mark.parametrize("model", [3, None, "atoms", np.ones((2, 1, 3)), csc.FISTA])
def test_what_is_no_model_is_refused(model, tmp_path):
    with pytest.raises(TypeError, match="model must be a dictionary, a learner"):
        csc.save(tmp_path / "model.npz", model)
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


def test_an_interrupted_save_leaves_the_old_file_and_no_litter(fitted, tmp_path, monkeypatch):
    csc.save(tmp_path / "model.npz", fitted)
    old = (tmp_path / "model.npz").read_bytes()

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("csc.store.os.fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        csc.save(tmp_path / "model.npz", csc.Dictionary(np.ones((1, 1, 2))))
    monkeypatch.undo()
    assert (tmp_path / "model.npz").read_bytes() == old
    assert [p.name for p in tmp_path.iterdir()] == ["model.npz"]
