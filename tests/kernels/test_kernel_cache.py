"""`usable_cache`: where compiled kernels are kept if neither package nor home can be written."""

import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import pytest

from csc.kernels.cpu.cache import usable_cache

ROOT = Path(__file__).resolve().parents[2]
CODE = """
import sys, tempfile, warnings
import numpy as np
tempfile.tempdir = sys.argv[1]
from csc._backend import kernels
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    out = np.empty(2)
    kernels(out).inner_products(np.ones((2, 3)), np.ones((2, 3)), out)
    from csc.kernels.cpu.gabor_fit import fit_gabors
    kernels(out)
print(out.tolist(), [str(w.message) for w in said])
import numba, csc
assert csc.__file__.startswith(sys.argv[2]) and not numba.config.CACHE_DIR
@numba.njit
def other(): return 1
assert other() == 1
"""


@pytest.fixture
def installed(tmp_path):
    """A copy of the package in which no folder for a cache can be made, whoever asks for it."""
    package = tmp_path / "site" / "csc"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "csc", package, ignore=ignored)
    shutil.copytree(ROOT / "kernels", package / "kernels", ignore=ignored)
    (package / "kernels" / "cpu" / "__pycache__").touch()  # a file, not a folder
    return package.parent


def run(installed, temporary):
    """What a kernel gives there, and what is warned of; no home can be written."""
    nowhere = str(installed / "csc" / "py.typed")  # a file: no folder below it
    kept = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA")}
    homes = {"HOME": nowhere, "XDG_CACHE_HOME": nowhere, "LOCALAPPDATA": nowhere}
    ran = subprocess.run(
        [sys.executable, "-S", "-B", "-c", CODE, str(temporary), str(installed)],
        capture_output=True, text=True, check=False, cwd=installed,
        env=kept | homes | {"PYTHONPATH": os.pathsep.join([str(installed), *sys.path])},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.slow
def test_kernels_are_kept_in_a_temporary_folder_where_no_other_can_be_written(installed, tmp_path):
    said = run(installed, tmp_path)
    assert said.startswith("[3.0, 3.0] ['compiled kernels are kept in ")
    assert said.count("NUMBA_CACHE_DIR") == 1
    (folder,) = tmp_path.glob("csc-kernels-*")
    assert len(list(folder.rglob("*.nbi"))) == 1
    if hasattr(os, "getuid"):
        assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "getuid"), reason="folders have no owners here")
def test_a_temporary_folder_that_others_may_write_is_not_read_from(installed, tmp_path):
    folder = tmp_path / f"csc-kernels-{os.getuid()}"
    folder.mkdir()
    folder.chmod(0o777)
    said = run(installed, tmp_path)
    assert said.startswith("[3.0, 3.0] ['compiled kernels are kept by no process")
    assert not list(folder.iterdir())


@pytest.mark.slow
def test_kernels_run_where_no_folder_at_all_can_be_written(installed):
    said = run(installed, installed / "csc" / "py.typed")
    assert said.startswith("[3.0, 3.0] ['compiled kernels are kept by no process")
    assert said.count("NUMBA_CACHE_DIR") == 1


def test_what_was_stored_for_classes_that_are_no_more_is_compiled_anew(tmp_path, monkeypatch):
    shapes = "from typing import NamedTuple\nclass {}(NamedTuple):\n    x: float\n"
    kernel = "import numba\n@numba.njit(cache=True)\ndef double(a):\n    return 2 * a.x\n"
    (tmp_path / "kernel_of_shapes.py").write_text(kernel)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "cache"))
    for name in ("Old", "New"):
        (tmp_path / f"shapes_{name}.py").write_text(shapes.format(name))
        module = importlib.import_module(f"shapes_{name}")
        with usable_cache():
            double = importlib.reload(importlib.import_module("kernel_of_shapes")).double
        assert double(getattr(module, name)(1.5)) == 3
        delattr(module, name)
