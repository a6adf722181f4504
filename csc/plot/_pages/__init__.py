"""Reports: pages in one file each, that a browser opens without a network.

One module per kind of page (``_atoms.py`` and others) makes the data; ``_document.py`` puts them,
the styles and the scripts of ``csc/plot/assets`` into one file; ``_report.py`` is what users call.
"""

from csc.plot._pages._report import report
from csc.plot._pages._restoration import Restoration

__all__ = ["Restoration", "report"]
