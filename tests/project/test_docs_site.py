"""What the documents list is all there is: public names, options, errors, formats, tools."""

from __future__ import annotations

import ast
import inspect
import pkgutil
import re
import runpy
from pathlib import Path
from typing import Any

import pytest

import nbragg
from nbragg.base import errors
from nbragg.cli.options import OPTIONS
from nbragg.cli.tools import TOOLS
from nbragg.io.images import FORMATS

DOCS = Path(__file__).resolve().parents[2] / "docs"


def _text(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def test_every_public_name_is_in_the_reference() -> None:
    pages = "".join(path.read_text(encoding="utf-8") for path in (DOCS / "api").glob("*.rst"))
    documented = set(re.findall(r"^\.\. auto\w+:: nbragg\.(\w+)$", pages, re.MULTILINE))
    assert documented == set(nbragg.__all__) - {"__version__"}
    index = _text("api/index.md")
    assert not {
        name for name in documented if not name.endswith(("Error", "Warning")) and f"`{name}`" not in index
    }


def test_every_class_of_error_is_explained() -> None:
    headings = re.findall(r"^## (\w+)", _text("errors.md"), re.MULTILINE)
    assert set(headings) == set(errors.__all__) - {"NbraggError"}
    reference = _text("api/errors.rst")
    assert not {name for name in errors.__all__ if f".{name}\n" not in reference}


def test_every_image_format_is_listed() -> None:
    text = _text("formats.md")
    assert not {suffix for suffix in FORMATS if f"`{suffix}`" not in text}


def test_every_tool_is_listed() -> None:
    text = _text("tools.md")
    assert not {name for name in TOOLS if f"`nbragg {name} " not in text}


TABLE: dict[str, Any] = runpy.run_path(str(DOCS / "option_table.py"))


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_python_of_an_option_exists(option: Any) -> None:
    """Every option with an effect is in the table, with functions and arguments that exist."""
    for text in TABLE["python_for"](option):
        tree = ast.parse(text, mode="eval")
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                function = _named(ast.unparse(node.func))
                known = inspect.signature(function).parameters
                assert all(keyword.arg in known or _takes_any(known) for keyword in node.keywords), text
        if not any(isinstance(node, ast.Call) for node in ast.walk(tree)):
            assert _named(text)


def test_every_option_has_a_row() -> None:
    rows = TABLE["markdown"]()
    assert not {name for option in OPTIONS for name in option.names if f"`{name}`" not in rows}


def _takes_any(parameters: Any) -> bool:
    return any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values())


def _named(dotted: str) -> Any:
    """What a table's entry names: of nbragg, of ``result``, or by its full path."""
    first, *rest = dotted.split(".")
    if first == "help":
        return help
    if first == "nbragg":
        return pkgutil.resolve_name(dotted)
    value: Any = nbragg.Result if first == "result" else getattr(nbragg, first)
    for name in rest:
        value = getattr(value, name)
    return value
