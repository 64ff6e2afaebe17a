"""How the site is built: `make docs`. Its source folder is the whole repository, so that links between pages are
the same in the site and wherever the repository is shown."""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from modecover import __version__

# Of the notebooks' processes: threads that wait, sleep; and nobody is told that a progress bar could be nicer.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.pop("MPLBACKEND", None)  # figures come into the page
os.environ["PYTHONWARNINGS"] = "ignore:IProgress not found"

project = html_title = "modecover"
version = release = __version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "myst_nb", "site_pages"]
root_doc = "docs/index"
include_patterns = ["docs/**.md", "results/*.md", "CONTRIBUTING.md", "CHANGELOG.md"]
exclude_patterns = [".*", "build", "dist", "runs", "src", "tests"]  # not looked through

# Markdown and notebooks.
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
smartquotes_action = "D"  # dashes alone: quotes are code's
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 600
nb_merge_streams = True

# Docstrings: prose with `Args:`, `Returns:` and `Raises:`.
autodoc_member_order = "bysource"
autodoc_type_aliases = {name: name for name in ("ArrayLike", "npt.ArrayLike", "DeviceLike", "Source")}
python_maximum_signature_line_length = 80
OF_NO_USER = "Asked|Classes|Encoding|Evaluation|Experiment|Gallery|Number|Pictures|Reading|Record|Survey"
nitpick_ignore_regex = [  # names of other libraries, too: nothing is looked up in the network
    ("py:.*", r"(?!modecover\b).*"),
    ("py:class", rf"modecover\..*\.({OF_NO_USER})"),
]

# Looks.
html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_extra_path = ["root"]  # index.html above docs/
html_copy_source = html_show_sphinx = html_show_copyright = False
