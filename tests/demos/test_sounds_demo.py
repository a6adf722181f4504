"""The demo of sounds: folders, the measure of bandwidth, and learning from a synthetic set."""

import json

import numpy as np
import pytest
from scipy.io import wavfile

from demos import sounds as demo


def test_sounds_of_a_folder_have_one_rate_and_one_channel(tmp_path):
    t = np.arange(32_000) / 32_000
    wave = np.sin(2 * np.pi * 1000 * t)
    stereo = np.stack([wave, 0.5 * wave], axis=1)
    wavfile.write(tmp_path / "a.wav", 32_000, (20_000 * stereo).astype("int16"))
    wavfile.write(tmp_path / "b.WAV", 16_000, wave[::2].astype("float32"))
    wavfile.write(tmp_path / "short.wav", 16_000, wave[:100].astype("float32"))
    wavfile.write(tmp_path / "zeros.wav", 16_000, np.zeros(5000, "float32"))
    found = demo.read_sounds(tmp_path)
    assert [len(sound) for sound in found] == [16_000, 16_000]
    for sound in found:
        middle = sound[1000:-1000]
        assert np.corrcoef(middle, wave[::2][1000:-1000])[0, 1] > 0.999
    assert demo.windows(found, 3, np.random.default_rng(0)).std() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("make", "words"), [(False, "holds no wav file"), (True, "at least 0.13 s")]
)
def test_a_folder_without_sounds_is_refused_in_one_sentence(make, words, tmp_path):
    if make:
        wavfile.write(tmp_path / "short.wav", 16_000, np.ones(10, "float32"))
    with pytest.raises(SystemExit, match=words):
        demo.main(["--folder", str(tmp_path), "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


def test_bandwidths_of_gammatones_are_those_of_their_formula():
    """|H|^2 is (1 + ((f - f0) / b)^2)^-4 near f0: a tenth at f0 +- b (10^(1/4) - 1)^(1/2)."""
    for frequency, bandwidth in ((1000, 132.0), (4000, 300.0)):
        wave = demo.gammatone(frequency, bandwidth)[None, None]
        (centre,), (width,) = demo.bands(np.concatenate([wave]))
        expected = 2 * 1.019 * bandwidth * np.sqrt(10**0.25 - 1)
        assert centre == pytest.approx(frequency, rel=0.01)
        assert width == pytest.approx(expected, rel=0.02)


def test_slopes_are_exponents():
    f = np.geomspace(400, 6000, 12)
    for exponent in (0, 0.5, 1):
        found = demo.slope(f, 3 * f**exponent)
        assert found["slope"] == pytest.approx(exponent, abs=1e-9)
        assert found["interval"] == pytest.approx([exponent] * 2, abs=1e-9)


@pytest.mark.slow
def test_bandwidth_grows_with_frequency_if_it_does_in_the_sounds(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(2):
        sound = demo.synthetic_sound(2.0, demo.erb, rng)
        wavfile.write(tmp_path / f"{i}.wav", demo.RATE, sound.astype("float32"))
    small = ["--kernels", "10", "--length", "128", "--windows", "30", "--passes", "3"]
    results = demo.main([*small, "--folder", str(tmp_path), "--out", str(tmp_path / "out")])
    assert results["seconds_of_sound"] == 4
    learned, constant, noise = results["sets"].values()
    assert learned["interval"][0] > 0.3 > abs(constant["slope"])
    assert learned["interval"][0] < results["gammatones"]["slope"] < learned["interval"][1] + 0.3
    assert noise["interval"][0] < 0.2
    assert json.loads((tmp_path / "out" / "sounds.json").read_text()) == results
    assert (tmp_path / "out" / "sounds.png").stat().st_size > 1000
