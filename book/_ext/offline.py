"""Make the site self-contained: it opens from file:// and asks nobody for anything.

Two things that Jupyter Book loads from elsewhere are replaced: MathJax comes from an installed package (one
file of its 24 MB is enough), and the scripts of Thebe, which also raise an error on every page, are dropped.
"""

import importlib.util
import shutil
from pathlib import Path

from sphinx.application import Sphinx

MATHJAX = "mathjax/tex-svg.js"  # below _static; _config.yml names it as mathjax_path


def mathjax_file() -> Path:
    """The MathJax bundle in the installed package sphinx-mathjax-offline."""
    # The module's name has hyphens, so that it cannot be imported by a statement.
    package = importlib.util.find_spec("sphinx-mathjax-offline")
    if package is None or package.origin is None:
        raise RuntimeError("sphinx-mathjax-offline is not installed; run `pip install -r requirements.txt`")
    return Path(package.origin).parent / "static" / MATHJAX


def copy_mathjax(app: Sphinx) -> None:
    """Before the pages are written, because Sphinx puts a checksum of each script into their links."""
    target = Path(app.outdir, "_static", MATHJAX)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(mathjax_file(), target)


def drop_thebe(app: Sphinx) -> None:
    """Jupyter Book always loads the extension sphinx_thebe: take its handlers and its style out again."""
    app.registry.css_files[:] = [entry for entry in app.registry.css_files if "thebe" not in entry[0]]
    for handlers in app.events.listeners.values():
        handlers[:] = [h for h in handlers if not h.handler.__module__.startswith("sphinx_thebe")]


def setup(app: Sphinx) -> dict[str, bool]:
    drop_thebe(app)
    app.connect("builder-inited", copy_mathjax)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
