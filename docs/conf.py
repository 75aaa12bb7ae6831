"""How the pages are built: `make docs`."""

from planet_torch import __version__

project = "planet-torch"
author = "The planet-torch authors"
copyright = f"2026, {author}"
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"planet-torch {version}"

myst_enable_extensions = ["amsmath", "dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
# The signature has the types of a dataclass's fields; here each is listed once.
napoleon_attr_annotations = False
napoleon_use_ivar = True
