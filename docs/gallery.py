"""What sphinx-gallery needs to make a page of every demo: titles, and the pictures they write."""

import ast
import shutil
from pathlib import Path

from prose import restructured
from sphinx_gallery.scrapers import figure_rst
from tqdm import tqdm

TITLE = "Demos"
PREFACE = """
Each page is one script: ``python -m demos.NAME`` runs it, on bundled photographs or on signals that
it draws itself. Scripts that take minutes ran with smaller numbers here, as their pages say. What a
careful run of each measured, and what it does not show, stands on the page that it links to.
"""

# Arguments of demos that would take minutes: the pages are made in a quarter of an hour.
SHORTER = {
    "cnn_is_a_pursuit": "--epochs 5 --steps 1 5 20",
    "cnn_first_layer": "--epochs 3 --passes 15 --steps 300 --bootstrap 200",
    "deep_units": "--units 16 --passes 2 --steps 200",
    "features": "--seeds 1 --most 1000",
    "learn_multilayer": "--seeds 1 --passes 3",
    "ml_pursuit": "--trials 4",
    "overcompleteness": "--factors 1.3 5 --patches 20000",
    "restoration": "--side 128",
    "stride_sweep": "--windows 200",
    "trainable": "--tasks lista layers --lista-updates 100",
}


def configuration(demos, build):
    """Configuration of sphinx-gallery for the scripts in a folder."""
    scripts, out = build / "demos", build / "out"
    prepare(demos, scripts)
    hide_progress()
    shutil.rmtree(out, ignore_errors=True)
    return {
        "examples_dirs": str(scripts),
        "gallery_dirs": "auto_demos",
        "filename_pattern": "",
        "image_scrapers": (Pictures(out),),
        "reset_argv": Arguments(out),
        "download_all_examples": False,
        "remove_config_comments": True,
        "min_reported_time": 1,
        "show_memory": False,
        "only_warn_on_example_error": False,
        "within_subsection_order": "FileNameSortKey",
    }


def hide_progress():
    """No progress bars on the pages: each of their steps would be a line."""
    start = tqdm.__init__
    tqdm.__init__ = lambda bar, *args, **how: start(bar, *args, **how | {"disable": True})


def prepare(demos, target):
    """Copy the demos, their first line made a title: "Title: and what the page is about."."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    bar = "=" * len(TITLE)
    (target / "GALLERY_HEADER.rst").write_text(f"{TITLE}\n{bar}\n{PREFACE}")
    for path in sorted(demos.glob("[a-z]*.py")):
        (target / path.name).write_text(titled(path.read_text(), path.stem))


def titled(source, name):
    """The source with a docstring that is a page: title, introduction, where it was measured."""
    docstring = ast.get_docstring(ast.parse(source))
    first, _, rest = docstring.partition("\n")
    title, colon, summary = first.partition(": ")
    title = title.rstrip(".")
    introduction = summary[:1].upper() + summary[1:] if colon else ""
    body = "\n".join(restructured(rest.strip().splitlines()))
    page = f"""{title}
{"=" * len(title)}

{introduction}

{command(name)} What a careful run measured: :doc:`/{name}`.

{body}
"""
    start = source.index('"""')
    end = source.index('"""', start + 3) + 3
    return f'{source[:start]}r"""\n{page}"""{source[end:]}'


def command(name):
    """What made the page, and what a reader may want to run instead."""
    if name not in SHORTER:
        return f"``python -m demos.{name}`` made this page."
    return (
        f"``python -m demos.{name} {SHORTER[name]}`` made this page; without these arguments "
        "it runs longer and measures more."
    )


class Arguments:
    """Command-line arguments of each demo: write where the pictures are looked for."""

    def __init__(self, out):
        self.out = out

    def __repr__(self):
        return "Arguments"

    def __call__(self, gallery_conf, script_vars):
        name = Path(script_vars["src_file"]).stem
        return ["--out", str(self.out), *SHORTER.get(name, "").split()]


class Pictures:
    """Takes up the pictures that a demo wrote."""

    def __init__(self, out):
        self.out = out

    def __repr__(self):
        return "Pictures"

    def __call__(self, block, block_vars, gallery_conf):
        paths = sorted(Path(self.out).glob("*.png"))
        targets = block_vars["image_path_iterator"]
        names = [shutil.move(path, next(targets)) for path in paths]
        return figure_rst(names, gallery_conf["src_dir"]) if names else ""
