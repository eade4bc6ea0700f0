"""Settings of the documentation: ``sphinx-build -W docs docs/_build/html``.

The build runs the tutorials, so that their pictures are those of the program described.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import detector_table  # noqa: E402
import option_table  # noqa: E402
import page_runner  # noqa: E402
import parameter_table  # noqa: E402
from sphinx.errors import ExtensionError  # noqa: E402

import nbragg  # noqa: E402

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "nanobragg"
author = "the nanobragg authors"
copyright = "the nanobragg authors"
version = release = nbragg.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "numpydoc",
    "myst_parser",
]
exclude_patterns = ["_build", "tutorials/made"]
html_theme = "furo"
html_title = f"nanobragg {release}"
html_show_copyright = False
html_copy_source = False

myst_heading_anchors = 4
default_role = "py:obj"  # single backticks in docstrings
autodoc_typehints = "none"  # numpydoc says them in words
autodoc_member_order = "bysource"
autosummary_generate = False
numpydoc_show_class_members = False

#: where the tutorials run and leave their pictures
MADE = HERE / "tutorials" / "made"

SPECIFICATION = (HERE.parent / "specs" / "canonical.md").read_text(encoding="utf-8")
_SECTION = re.compile(r"^(#+ (\d+(?:\.\d+)?) )", re.MULTILINE)
SECTIONS = {number for _, number in _SECTION.findall(SPECIFICATION)}


def make_pages(app: Sphinx) -> None:
    """Run the tutorials and write the tables of options, parameters and detectors."""
    shutil.rmtree(MADE, ignore_errors=True)
    MADE.mkdir()
    (MADE / "options.md").write_text(option_table.markdown(), encoding="utf-8")
    (MADE / "detectors.md").write_text(detector_table.markdown(), encoding="utf-8")
    (MADE / "parameters.md").write_text(parameter_table.markdown(), encoding="utf-8")
    for page in sorted(MADE.parent.glob("*.md")):
        if skipped := page_runner.missing(page):
            print(skipped)
            continue
        try:
            page_runner.run(page, MADE / page.stem)
        except page_runner.PageError as error:
            raise ExtensionError(str(error)) from None


def place_specification(app: Sphinx, name: str, source: list[str]) -> None:
    """The specification is a page of the site, with a target at every section; links lead there."""
    if name == "specification":
        source[0] = _SECTION.sub(r"(canonical-\2)=\n\1", SPECIFICATION)
    depth = "../" * name.count("/")
    source[0] = re.sub(r"\]\((?:\.\./)+specs/canonical\.md", f"]({depth}specification.md", source[0])


def link_sections(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Make "canonical 5.1" in docstrings a link."""

    def link(match: re.Match[str]) -> str:
        number = match.group(1) if match.group(1) in SECTIONS else match.group(1).split(".")[0]
        return f":ref:`{match.group()} <canonical-{number}>`" if number in SECTIONS else match.group()

    lines[:] = [re.sub(r"canonical (\d+(?:\.\d+)?)", link, line) for line in lines]


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("builder-inited", make_pages)
    app.connect("source-read", place_specification)
    app.connect("autodoc-process-docstring", link_sections, priority=900)  # after numpydoc
    return {"parallel_read_safe": True}
