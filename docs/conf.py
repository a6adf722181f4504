"""Sphinx configuration: ``make docs``."""

import sys
import urllib.request
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]  # our helpers; the demos

import design  # noqa: E402
import gallery  # noqa: E402

import csc  # noqa: E402

design.write()

project = "csc"
author = "the csc developers"
copyright = f"2026, {author}"
version = release = csc.__version__

extensions = [
    "formulas",
    "prose",
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "sphinxcontrib.bibtex",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "auto_demos/*.md5"]
myst_enable_extensions = ["amsmath", "colon_fence", "dollarmath"]
myst_heading_anchors = 3
bibtex_bibfiles = ["references.bib"]
default_role = "autolink"
suppress_warnings = ["config.cache"]  # the gallery's functions cannot be pickled

autosummary_generate = True
autodoc_typehints = "none"  # numpydoc's sections say the types
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
numpydoc_attributes_as_param_list = True
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_math_renderer = "mathml"
html_theme = "pydata_sphinx_theme"
html_title = "csc"
html_show_sourcelink = False
html_sidebars = {page.stem: ["contents"] for page in HERE.glob("*.md") if page.stem != "index"}
html_theme_options = {
    "navbar_align": "left",
    "secondary_sidebar_items": ["page-toc"],
    "show_prev_next": True,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
sphinx_gallery_conf = gallery.configuration(HERE.parent / "demos", HERE / "_build")

ELSEWHERE = {
    "python": "https://docs.python.org/3/",
    "numpy": "https://numpy.org/doc/stable/",
    "scipy": "https://docs.scipy.org/doc/scipy/",
    "sklearn": "https://scikit-learn.org/stable/",
}


def reachable(address):
    """Whether other projects' inventories can be had: the site must build without a network."""
    try:
        urllib.request.urlopen(f"{address}objects.inv", timeout=3).close()
    except OSError:
        return False
    return True


intersphinx_mapping = {
    name: (address, None) for name, address in ELSEWHERE.items() if reachable(address)
}
