"""Small runs of the experiments with trainable pursuits."""

import json

import numpy as np
import pytest

import csc
from demos import trainable

MISSING = "torch is not installed: pip install 'mlcsc[torch]'"


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason=MISSING)


@pytest.fixture
def _two_photographs(monkeypatch):
    few = csc.images.natural(["camera", "grass"])
    monkeypatch.setattr(csc.images, "natural", lambda: few)


@pytest.mark.usefixtures("_two_photographs")
def test_the_denoiser_learns(torch, tmp_path, monkeypatch, capsys):
    from demos import _trained_denoiser

    class Noisy:  # a stand-in for slow methods
        image = np.zeros((24, 24), "float32")

    atoms = csc.nn.random_dictionary((12, 1, 8, 8), stride=4)
    monkeypatch.setattr(_trained_denoiser, "first_atoms", lambda _: atoms)
    monkeypatch.setattr(_trained_denoiser, "find_spec", lambda _: None)
    monkeypatch.setattr(csc.restoration, "denoise", lambda *_, **__: Noisy)
    monkeypatch.setattr(trainable, "SIDE", 24)
    found = trainable.main(["--tasks", "denoise", "--updates", "12", "--out", str(tmp_path)])
    scores = found["denoise"]["psnr_dB"]
    assert scores["network before training"] + 0.3 < scores["trained network"]
    assert torch.is_grad_enabled()
    assert "trained network" in capsys.readouterr().out
    assert json.loads((tmp_path / "trainable.json").read_text()) == found
    assert (tmp_path / "trainable.png").stat().st_size > 1000


def test_networks_of_digits_learn_and_can_be_attacked(torch, tmp_path, monkeypatch, rng):  # noqa: ARG001
    from demos import _unfolded_networks

    digits = rng.integers(0, 2, 120)  # a bright half says which digit it is
    pictures = rng.uniform(0, 60, (120, 28, 28))
    pictures[digits == 1, :14] += 150
    pictures[digits == 0, 14:] += 150
    table = np.concatenate([pictures.reshape(120, -1), digits[:, None]], axis=1)
    np.savetxt(tmp_path / "digits.csv.gz", table, delimiter=",", fmt="%d")
    for name, value in {"N_TRAIN": 90, "N_TEST": 30, "N_ATTACKED": 10, "BATCH": 15}.items():
        monkeypatch.setattr(_unfolded_networks, name, value)
    monkeypatch.setattr(trainable, "digits_file", lambda: tmp_path / "digits.csv.gz")
    options = ["--tasks", "digits", "--unfoldings", "0", "2", "--epochs", "4"]
    runs = trainable.main([*options, "--out", str(tmp_path)])["digits"]
    assert list(runs) == ["CNN", "ML-ISTA, k = 0", "ML-ISTA, k = 2"]
    for ((found,),) in [(own,) for own in runs.values()]:
        assert found["accuracy"] > 0.9
        assert found["attacked"][0.5] >= found["attacked"][1.5]
    sizes = {own[0]["parameters"] for own in runs.values()}
    assert max(sizes) - min(sizes) <= 2  # two step sizes


def test_without_the_digits_the_rest_runs(torch, tmp_path, monkeypatch, capsys):  # noqa: ARG001
    monkeypatch.setattr(trainable, "digits_file", lambda: None)
    assert trainable.main(["--tasks", "digits", "--out", str(tmp_path)]) == {"digits": None}
    assert "pip install 'mlcsc[digits]'" in capsys.readouterr().out


@pytest.mark.usefixtures("_two_photographs")
def test_lista_needs_fewer_steps_than_fista(torch, tmp_path, monkeypatch):  # noqa: ARG001
    from demos import _learned_ista

    for name, value in {"N_TRAIN": 900, "N_TEST": 100, "N_ATOMS": 20, "DEPTHS": (1, 4), "BATCH": 100,
                        "MAX_STEPS": 32}.items():  # fmt: skip
        monkeypatch.setattr(_learned_ista, name, value)
    options = ["--tasks", "lista", "--lista-updates", "60", "--out", str(tmp_path)]
    found = trainable.main(options)["lista"]
    assert found["error"]["LISTA"][4] < 0.9 * found["error"]["FISTA"][4]
    assert found["fista_steps_for_the_error_of_lista"][4] > 4


def test_without_torch_one_sentence_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(trainable, "find_spec", lambda name: None if name == "torch" else name)
    with pytest.raises(SystemExit, match=r"with PyTorch: pip install 'mlcsc\[torch\]'$"):
        trainable.main(["--out", str(tmp_path)])
