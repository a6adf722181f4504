"""Restoration: noise, missing pixels, impulses, blur and few pixels, next to the best baselines.

`csc.restoration` is given the noise level only. The other methods have the strength with the
highest PSNR for the picture at hand, which requires the clean picture. BM3D joins the denoising
table if the package ``bm3d`` is installed (its licence: free for non-commercial use only), wavelets
if ``PyWavelets`` is.

``--photographs chosen`` stands for the six that the method was tuned on, ``held-out`` for four that no
choice was made with. Writes ``restoration.png`` (of the first photograph) and ``restoration.json``; with
``--page`` also ``restoration.html``, a report that a browser opens: before and after with a divider.
"""

import argparse
from pathlib import Path
from time import perf_counter

import numpy as np
from scipy import ndimage

import csc
from demos import _restoration_baselines as baselines
from demos._arguments import integer, number, output_folder
from demos._figures import new_figure, save_results

CHOSEN = "camera", "astronaut", "coffee", "chelsea", "china", "flower"
HELD_OUT = "rocket", "grass", "brick", "gravel"
GREY_ONLY = "camera", "grass", "brick", "gravel"
LUMINANCE = 0.2125, 0.7154, 0.0721
LARGEST_SIDE = 300  # pixels: chelsea has no more
FINE_SIGMA = 2 / 255  # of the noise on blurred pictures
WORDS = "sparse coding of photographs and text "


def parse_arguments(argv):
    parser = argparse.ArgumentParser(prog="python -m demos.restoration", description=__doc__)
    parser.add_argument(
        "--side", type=integer(32, LARGEST_SIDE), default=256, help="side of the crop, pixels (256)"
    )
    parser.add_argument(
        "--photographs", nargs="+", default=["camera"], metavar="NAME",
        choices=[*CHOSEN, *HELD_OUT, "chosen", "held-out"],
        help=f"of {', '.join([*CHOSEN, *HELD_OUT])}; chosen; held-out (camera)",
    )  # fmt: skip
    parser.add_argument(
        "--sigma", type=number(0), nargs="+", default=[20.0], help="noise levels, of 255 (20)"
    )
    parser.add_argument(
        "--missing", type=number(0, 0.95), nargs="+", default=[0.5], help="missing pixels (0.5)"
    )
    parser.add_argument("--colour", action="store_true", help="denoise in colour")
    parser.add_argument(
        "--tasks", nargs="+", choices=TASKS, default=list(TASKS), help="which problems (all)"
    )
    parser.add_argument(
        "--methods", nargs="+", metavar="NAME", help="only these, as named in tables"
    )
    parser.add_argument("--page", action="store_true", help="write a report to open in a browser")
    parser.add_argument(
        "--out", type=output_folder, default=Path("out"), help="output folder (out)"
    )
    args = parser.parse_args(argv)
    groups = {"chosen": CHOSEN, "held-out": HELD_OUT}
    args.photographs = [n for name in args.photographs for n in groups.get(name, [name])]
    if args.colour:
        args.photographs = [name for name in args.photographs if name not in GREY_ONLY]
        if not args.photographs:
            parser.error(f"argument --colour: {', '.join(GREY_ONLY)} are grey; take another")
    return args


def photograph(name, side, *, colour=False):
    """The central square, float32 in [0, 1]; ``(C, H, W)`` in colour."""
    if name == "astronaut":
        from skimage import data

        pixels = np.moveaxis(data.astronaut() / 255, -1, 0)
        pixels = pixels if colour else np.tensordot(LUMINANCE, pixels, 1)
    else:
        pixels = csc.images.natural([name], colour=colour)[0].pixels
    top, left = (max(0, n // 2 - side // 2) for n in pixels.shape[-2:])
    return np.ascontiguousarray(pixels[..., top : top + side, left : left + side], "float32")


class Case:
    """A damaged picture, and methods that restore it: each returns an estimate or a `baselines.Best`."""

    def __init__(self, title, truth, y, methods):
        self.title, self.truth, self.y, self.methods = title, truth, y, methods


def ours(restore):
    """The two qualities of a function of `csc.restoration`."""
    return {
        f"csc {quality}": lambda quality=quality: restore(quality=quality).image
        for quality in ("fast", "best")
    }


def theirs(truth, y, methods, *arguments):
    return {name: lambda m=method: m(truth, y, *arguments) for name, method in methods.items()}


def denoise(name, args):
    truth = photograph(name, args.side, colour=args.colour)
    found, _ = baselines.denoisers()
    for level in args.sigma:
        sigma = level / 255
        y = _noisy(truth, sigma)
        methods = ours(
            lambda y=y, sigma=sigma, **options: csc.restoration.denoise(y, sigma, **options)
        )
        methods["csc, sigma estimated"] = lambda y=y: csc.restoration.denoise(y).image
        yield Case(f"noise {level:g}", truth, y, methods | theirs(truth, y, found, sigma))


def inpaint(name, args):
    truth = photograph(name, args.side)
    for share in args.missing:
        seen = np.random.default_rng(0).random(truth.shape) >= share
        yield _with_mask(f"{share:.0%} missing", truth, seen)


def text(name, args):
    from PIL import Image, ImageDraw, ImageFont

    truth = photograph(name, args.side)
    page = Image.new("L", truth.shape[::-1], 255)
    for k, top in enumerate(range(4, args.side, 20)):
        ImageDraw.Draw(page).text(
            (-(k * 7) % 23 - 10, top), 2 * WORDS, fill=0, font=ImageFont.load_default(size=15)
        )
    yield _with_mask("under text", truth, np.asarray(page) > 127)


def _with_mask(title, truth, seen):
    y = truth * seen
    methods = ours(lambda **options: csc.restoration.inpaint(y, seen, **options))
    return Case(
        title, truth, y, methods | theirs(truth, y, {"biharmonic": baselines.biharmonic}, seen)
    )


def impulses(name, args):
    truth = photograph(name, args.side)
    u = np.random.default_rng(0).random(truth.shape)
    y = np.where(u < 0.15, 0, np.where(u > 0.85, 1, truth)).astype("float32")
    medians = {"median": baselines.median, "switching median": baselines.switching_median}
    methods = ours(lambda **options: csc.restoration.remove_impulses(y, **options))
    methods |= theirs(truth, y, medians)
    methods |= theirs(truth, y, {"biharmonic": baselines.biharmonic}, (y > 0) & (y < 1))
    yield Case("30 % salt and pepper", truth, y, methods)


def random_impulses(name, args):
    truth, rng = photograph(name, args.side), np.random.default_rng(0)
    y = np.where(rng.random(truth.shape) < 0.2, rng.random(truth.shape), truth).astype("float32")
    methods = ours(lambda **options: csc.restoration.remove_random_impulses(y, **options))
    medians = {"median": baselines.median, "switching median": baselines.switching_median}
    yield Case("20 % random values", truth, y, methods | theirs(truth, y, medians))


def deblur(name, args):
    truth = photograph(name, args.side)
    for title, kernel in (("Gaussian blur", gaussian(1.6)), ("motion blur", motion())):

        def blur(x, kernel=kernel):
            return ndimage.convolve(x, kernel.astype(x.dtype), mode="wrap")

        def adjoint(r, kernel=kernel):
            return ndimage.correlate(r, kernel, mode="wrap")

        y = _noisy(blur(truth), FINE_SIGMA)
        methods = ours(
            lambda y=y, kernel=kernel, **options: csc.restoration.deblur(
                y, kernel, FINE_SIGMA, boundary="wrap", **options
            )
        )
        filters = {
            "unsupervised Wiener": baselines.unsupervised, "Wiener": baselines.wiener_filter,
            "Richardson-Lucy": baselines.lucy,
        }  # fmt: skip
        methods |= theirs(truth, y, filters, kernel)
        methods |= theirs(truth, y, {"total variation": baselines.tv_deblurred}, blur, adjoint)
        yield Case(title, truth, y, methods)


def enlarge(name, args):
    truth = photograph(name, args.side)
    y = _noisy(ndimage.gaussian_filter(truth, 0.8, mode="mirror")[::2, ::2], 0.5 / 255)

    def restore(**options):
        large = csc.restoration.super_resolve(y, 2, gaussian(0.8), **options)
        return large._replace(image=large.image[: truth.shape[0], : truth.shape[1]])

    yield Case(
        "x 2", truth, y, ours(restore) | theirs(truth, y, {"cubic spline": baselines.cubic_spline})
    )


TASKS = {
    f.__name__: f for f in (denoise, inpaint, text, impulses, random_impulses, deblur, enlarge)
}


def gaussian(width):
    offsets = np.arange(-12, 13)
    kernel = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * width**2))
    return kernel / kernel.sum()


def motion():
    """A line of 13 pixels that falls by half a pixel for each."""
    kernel = np.zeros((15, 15))
    for t in np.linspace(-6, 6, 241):
        kernel[round(7 + t / 2), round(7 + t)] += 1
    return kernel / kernel.sum()


def _noisy(clean, sigma):
    noise = np.random.default_rng(0).standard_normal(clean.shape)
    return (clean + sigma * noise).astype("float32")


def measure(case, only=None):
    """The estimate of each method, its PSNR in dB, its seconds, and its strength if it has one."""
    results = {}
    for name, method in case.methods.items():
        if only and name not in only:
            continue
        start = perf_counter()
        found = method()
        seconds = perf_counter() - start
        if not isinstance(found, baselines.Best):
            found = baselines.Best(found, baselines.clipped_psnr(case.truth, found), None)
        results[name] = found, seconds
        print(f"  {name:22} {found.score:6.2f} dB  {seconds:6.2f} s", flush=True)
    return results


def means(numbers):
    """Mean PSNR of each method over the photographs chosen, and over those held out."""
    lines = {}
    for group, names in (("mean of chosen", CHOSEN), ("mean of held-out", HELD_OUT)):
        inside = [numbers[name] for name in names if name in numbers]
        if len(inside) > 1:
            lines[group] = {
                title: {
                    m: float(np.mean([one[title][m]["psnr_dB"] for one in inside])) for m in rows
                }
                for title, rows in inside[0].items()
            }
    return lines


def draw(pictures):
    """A row for each case: what came in, and what each method makes of it."""
    wide = max(len(row) for row in pictures.values())
    figure = new_figure(2.4 * wide, 2.7 * len(pictures))
    axes = figure.subplots(len(pictures), wide, squeeze=False)
    for row, (title, shown) in zip(axes, pictures.items(), strict=True):
        for ax in row:
            ax.set_axis_off()
        for ax, (name, picture, score) in zip(row, shown, strict=False):
            pixels = np.clip(picture, 0, 1)
            ax.imshow(
                np.moveaxis(pixels, 0, -1) if pixels.ndim == 3 else pixels, "gray", vmin=0, vmax=1
            )
            ax.set_title(f"{name}, {score:.2f} dB" if score else f"{title}: {name}", fontsize=9)
    return figure


def main(argv=None):
    args = parse_arguments(argv)
    pictures, numbers, restorations = {}, {}, []
    for name in args.photographs:
        numbers[name] = {}
        for task in args.tasks:
            for case in TASKS[task](name, args):
                print(f"{name}, {case.title}")
                results = measure(case, args.methods)
                if name == args.photographs[0]:
                    shown = [(m, best.estimate, best.score) for m, (best, _) in results.items()]
                    pictures[case.title] = [("input", case.y, None), *shown]
                    estimates = {method: picture for method, picture, _ in shown}
                    restorations.append(
                        csc.plot.Restoration(case.y, estimates, case.truth, case.title)
                    )
                numbers[name][case.title] = {
                    m: {"psnr_dB": best.score, "seconds": seconds, "strength": best.strength}
                    for m, (best, seconds) in results.items()
                }
    numbers |= means(numbers)
    for group, cases in list(numbers.items())[len(args.photographs) :]:
        for title, scores in cases.items():
            print(f"{group}, {title}: " + ", ".join(f"{m} {s:.2f}" for m, s in scores.items()))
    if "denoise" in args.tasks:
        print(*baselines.denoisers()[1], sep="\n")
    save_results(draw(pictures), numbers, args.out, "restoration")
    if args.page:
        title = f"Restorations of {args.photographs[0]}"
        path = csc.plot.report(restorations, args.out / "restoration.html", title=title)
        print(f"page:    {path}")
    return numbers


if __name__ == "__main__":
    main()
