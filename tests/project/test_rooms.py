"""Imports go one way: read from the sources, so that the picture in the documents cannot lie."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "docs"))

import rooms  # noqa: E402

IMPORTS = rooms.imports(ROOT / "nbragg")


def test_every_module_has_a_room() -> None:
    assert {rooms.room_of(module) for module in IMPORTS} <= set(rooms.ROOMS)


@pytest.mark.parametrize("module", sorted(IMPORTS))
def test_imports_go_to_earlier_rooms(module: str) -> None:
    """Those inside functions count as well."""
    place = rooms.ROOMS.index(rooms.room_of(module))
    wrong = [other for other in IMPORTS[module] if rooms.ROOMS.index(rooms.room_of(other)) > place]
    assert not wrong, f"{module} imports {', '.join(wrong)}, which stand in a later room"


def test_no_circle_of_modules() -> None:
    assert rooms.circle(IMPORTS) is None


def test_a_circle_and_a_wrong_way_are_found(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "cli").mkdir()
    (tmp_path / "base" / "a.py").write_text("def f():\n    from ..cli.b import x\n")
    (tmp_path / "cli" / "b.py").write_text("from ..base import a\n")
    found = rooms.imports(tmp_path)
    assert found == {"base.a": {"cli.b"}, "cli.b": {"base.a"}}
    assert rooms.circle(found) is not None


def test_the_public_face_is_imported_by_programs_only() -> None:
    """Inside the package nothing goes through ``import nbragg``, which would hide where it goes."""
    allowed = {"demo.py"}
    for path in (ROOT / "nbragg").rglob("*.py"):
        if path.name not in allowed:
            lines = path.read_text(encoding="utf-8").splitlines()
            code = [line for line in lines if not line.lstrip().startswith((">>>", "..."))]
            assert not any(line.strip().startswith(("import nbragg", "from nbragg")) for line in code), path


def test_the_picture_is_that_of_the_sources() -> None:
    """docs/images/rooms.svg is what ``python docs/rooms.py`` writes."""
    stored = (ROOT / "docs" / "images" / "rooms.svg").read_text(encoding="utf-8")
    assert stored == rooms.picture(IMPORTS), "run python docs/rooms.py"
