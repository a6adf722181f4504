"""Kernels of sounds: sparse codes find gammatones, and their bandwidth grows with frequency.

Smith and Lewicki (2006) coded sounds by few kernels at precise times, found by matching pursuit, and
learned the kernels: they resemble the impulse responses of the cochlea, and like these have the
wider bands the higher their centre frequency. Here `csc.DictionaryLearning` with `csc.L0` does the same for all
wav files of a folder (``--folder``). By default the sounds are synthetic: gammatones of random times and
frequencies, with the bandwidths of human hearing [1], and clicks.

For each kernel, the centre is the peak of its spectrum, the bandwidth that of the band around it above
-10 dB. Reported is the slope of log bandwidth against log frequency (median of the slopes of all pairs,
with its 95 % interval): 1 for a constant quality factor, as of wavelets, 0 for a constant bandwidth, as
of a windowed Fourier transform. Controls are kernels that are not learned, and kernels learned from synthetic sounds
of constant bandwidth.

Writes ``sounds.png`` and ``sounds.json``.

1. B. R. Glasberg, B. C. J. Moore, "Derivation of auditory filter shapes from notched-noise data",
   Hearing Research 47, 1990: ERB = 24.7 + 0.108 f hertz.
"""

import argparse
import sys
from pathlib import Path
from time import process_time

import numpy as np
from scipy import signal, stats
from scipy.io import wavfile

import csc
from demos._arguments import integer, number, output_folder
from demos._figures import new_figure, save_results

RATE = 16_000  # samples per second of all sounds
LOWEST, HIGHEST = 400.0, 6000.0  # hertz, of the gammatones
EVENT_RATE, SHARE_OF_CLICKS = 120, 0.1  # events per second of synthetic sound
CONSTANT_BANDWIDTH = 250.0  # hertz, of the control
GAMMATONE_ORDER, BANDWIDTH_OF_ERB = 4, 1.019
WINDOW = 2048  # samples of a training window
CODES_PER_WINDOW = 12  # on average
DECIBELS = 10


def parse_arguments(argv):
    parser = argparse.ArgumentParser(prog="python -m demos.sounds", description=__doc__)
    parser.add_argument("--folder", type=Path, help="folder of wav files (synthetic sounds)")
    parser.add_argument("--kernels", type=integer(3), default=32, help="number of kernels (32)")
    parser.add_argument(
        "--length", type=integer(16, WINDOW), default=256, help="samples of a kernel (256)"
    )
    parser.add_argument("--windows", type=integer(1), default=100, help="training windows (100)")
    parser.add_argument("--passes", type=integer(1), default=6, help="passes over the windows (6)")
    parser.add_argument(
        "--codes", type=number(0), default=CODES_PER_WINDOW, help="of a window, on average (12)"
    )
    parser.add_argument("--seed", type=integer(0, 2**32 - 1), default=0, help="random seed (0)")
    parser.add_argument(
        "--out", type=output_folder, default=Path("out"), help="output folder (out)"
    )
    return parser.parse_args(argv)


# ---- Sounds


def gammatone(frequency, bandwidth, phase=0.0, length=WINDOW):
    """``t^3 exp(-2 pi b t) cos(2 pi f t + phase)``, b = 1.019 bandwidth, of norm 1."""
    t = np.arange(length) / RATE
    envelope = t ** (GAMMATONE_ORDER - 1) * np.exp(-2 * np.pi * BANDWIDTH_OF_ERB * bandwidth * t)
    wave = envelope * np.cos(2 * np.pi * frequency * t + phase)
    return wave / np.linalg.norm(wave)


def erb(frequency):
    """Equivalent rectangular bandwidth of human hearing, hertz [1]."""
    return 24.7 + 0.108 * frequency


def synthetic_sound(seconds, bandwidth, rng):
    """Gammatones at random times, frequencies log-uniform, and clicks, float64.

    Parameters
    ----------
    bandwidth : callable
        Bandwidth in hertz of a frequency in hertz.
    """
    n = int(seconds * RATE)
    sound = np.zeros(n + WINDOW)
    click = np.array([0.5, -1.0, 0.5]) / np.sqrt(1.5)
    for _ in range(rng.poisson(EVENT_RATE * seconds)):
        start, size = rng.integers(n), rng.choice([-1, 1]) * rng.uniform(0.5, 2)
        if rng.random() < SHARE_OF_CLICKS:
            sound[start : start + 3] += size * click
            continue
        frequency = LOWEST * (HIGHEST / LOWEST) ** rng.random()
        tone = gammatone(frequency, bandwidth(frequency), rng.uniform(0, 2 * np.pi))
        sound[start : start + WINDOW] += size * tone
    return sound[:n]


def read_sounds(folder):
    """All wav files of a folder as float64 arrays at `RATE`, channels averaged, mean removed."""
    paths = sorted(p for p in Path(folder).glob("*") if p.suffix.lower() == ".wav")
    if not paths:
        raise ValueError(f"--folder {folder} holds no wav file")
    sounds = []
    for path in paths:
        rate, samples = wavfile.read(path)
        x = samples.astype("float64")
        x = x if x.ndim == 1 else x.mean(axis=1)
        common = np.gcd(rate, RATE)
        x = signal.resample_poly(x - x.mean(), RATE // common, rate // common)
        if len(x) >= WINDOW and x.any():
            sounds.append(x)
    if not sounds:
        raise ValueError(
            f"--folder {folder} holds no sound of at least {WINDOW / RATE:.2f} s that is not silent"
        )
    return sounds


def windows(sounds, n, rng):
    """Random windows (n, 1, WINDOW) of mean variance 1, float32; long sounds have more of them."""
    room = np.array([len(sound) - WINDOW + 1 for sound in sounds])
    found = []
    for which in rng.choice(len(sounds), size=n, p=room / room.sum()):
        start = rng.integers(room[which])
        found.append(sounds[which][start : start + WINDOW])
    x = np.stack(found)[:, None]
    return (x / x.std()).astype("float32")


# ---- Kernels


def learn(x, args):
    """Kernels (K, 1, length), by matching pursuit with refitted codes."""
    learner = csc.DictionaryLearning(
        args.kernels, (args.length,), penalty=csc.L0(csc.TargetSparsity(args.codes)),
        batch_size=10, max_iter=args.passes, tol=0, forgetting=3, recentre_every=10,
        random_state=args.seed,
    )  # fmt: skip
    return learner.fit(x)


def bands(kernels):
    """Centre frequency and bandwidth at -10 dB of each kernel, hertz, two arrays (K,)."""
    n = 16 * kernels.shape[2]
    power = abs(np.fft.rfft(kernels[:, 0].astype("float64"), n)) ** 2
    step, centres, widths = RATE / n, [], []
    for p in power:
        peak = p.argmax()
        below = np.flatnonzero(p < p[peak] / 10 ** (DECIBELS / 10))
        low = below[below < peak].max(initial=0)
        high = below[below > peak].min(initial=len(p) - 1)
        centres.append(peak * step)
        widths.append((high - low - 1) * step)
    return np.array(centres), np.maximum(widths, step)


def slope(centres, widths):
    """Slope of log bandwidth against log frequency, and its 95 % interval."""
    used = centres > 0
    if len(np.unique(centres[used])) < 3:
        return {"slope": float("nan"), "interval": [float("nan")] * 2}
    found = stats.theilslopes(np.log(widths[used]), np.log(centres[used]))
    return {"slope": float(found[0]), "interval": [float(found[2]), float(found[3])]}


def measure(kernels):
    """Numbers of a set of kernels."""
    centres, widths = bands(kernels)
    return {
        **slope(centres, widths),
        "median_centre": float(np.median(centres)),
        "median_bandwidth": float(np.median(widths)),
        "median_quality_factor": float(np.median(centres / widths)),
        "rank_correlation": float(stats.spearmanr(centres, widths).statistic),
        "centres": centres.tolist(),
        "bandwidths": widths.tolist(),
    }


# ---- Figure and command


def draw(sets):
    """Eight kernels of each set by frequency, and bandwidth against frequency."""
    figure = new_figure(12, 4.5)
    left, right = figure.subplots(1, 2)
    kernels = sets["learned"]
    order = bands(kernels)[0].argsort()
    for row, k in enumerate(order[np.linspace(0, len(order) - 1, 8).astype(int)]):
        t = 1000 * np.arange(kernels.shape[2]) / RATE
        left.plot(t, row + 0.45 * kernels[k, 0] / abs(kernels[k, 0]).max(), color="black", lw=0.8)
    left.set(xlabel="time (ms)", yticks=[], title="eight kernels, low frequencies below")
    for name, own in sets.items():
        centres, widths = bands(own)
        right.loglog(centres, widths, "o", label=name, markersize=4)
    f = np.geomspace(LOWEST, HIGHEST, 50)
    truth = [bands(gammatone(one, erb(one))[None, None])[1][0] for one in f]
    right.loglog(f, truth, color="grey", label="gammatones of human hearing")
    right.set(xlabel="centre frequency (Hz)", ylabel="bandwidth at -10 dB (Hz)")
    right.legend()
    return figure


def main(argv=None):
    args, start = parse_arguments(argv), process_time()
    rng = np.random.default_rng(args.seed)
    try:
        sounds = read_sounds(args.folder) if args.folder else [synthetic_sound(20, erb, rng)]
    except (OSError, ValueError) as error:  # the message says what is wrong and how to fix it
        sys.exit(f"{error}")
    constant = [synthetic_sound(20, lambda _: CONSTANT_BANDWIDTH, rng)]
    learner = learn(windows(sounds, args.windows, rng), args)
    frequencies = np.geomspace(LOWEST, HIGHEST, args.kernels)
    sets = {
        "learned": learner.atoms_,
        "learned from sounds of constant bandwidth": learn(
            windows(constant, args.windows, rng), args
        ).atoms_,
        "not learned (noise)": rng.standard_normal(learner.atoms_.shape),
    }
    tones = np.stack([gammatone(f, erb(f), length=args.length) for f in frequencies])[:, None]
    last = learner.history_[-1]
    results = {
        "seconds_of_sound": sum(map(len, sounds)) / RATE,
        "nonzero_codes_per_window": last.n_nonzero,
        "sets": {name: measure(own) for name, own in sets.items()},
        "gammatones": slope(*bands(tones)),
        "settings": {k: v if isinstance(v, int | float) else str(v) for k, v in vars(args).items()},
        "cpu_seconds": process_time() - start,
    }
    for name, own in results["sets"].items():
        print(name, {k: v for k, v in own.items() if k not in ("centres", "bandwidths")})
    print("gammatones of human hearing", results["gammatones"])
    print(f"{results['cpu_seconds']:.0f} CPU s")
    save_results(draw(sets), results, args.out, "sounds")
    return results


if __name__ == "__main__":
    main()
