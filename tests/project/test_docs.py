"""The documents stay true: links lead somewhere, files and functions they name exist, the map is complete."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("specs/*.md"), *ROOT.glob("examples/*.md")]
)


def _anchors(text: str) -> set[str]:
    """Link targets that GitHub makes of the headings."""
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        file = document.parent / name if name else document
        assert file.exists(), f"{document.name} links to {target}"
        if anchor:
            assert anchor in _anchors(file.read_text(encoding="utf-8")), f"{document.name} links to {target}"


@pytest.mark.skipif(not (ROOT / "csrc").exists(), reason="needs the source tree")
@pytest.mark.parametrize("name", ["architecture.md", "physics.md"])
def test_named_files_exist(name: str) -> None:
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    paths = re.findall(r"`((?:nbragg|csrc|tests|docs|specs|examples|benchmarks)/[\w./]*)`", text)
    assert paths
    missing = [path for path in paths if not (ROOT / path).exists()]
    assert not missing


@pytest.mark.skipif(not (ROOT / "csrc").exists(), reason="needs the source tree")
def test_named_functions_exist() -> None:
    text = (ROOT / "docs" / "physics.md").read_text(encoding="utf-8")
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "csrc").glob("*.[hc]"))
    names = set(re.findall(r"`((?:nb|NB)_\w+)`", text))
    assert names
    assert not {name for name in names if not re.search(rf"\b{name}\b", sources)}


@pytest.mark.skipif(not (ROOT / "csrc").exists(), reason="needs the source tree")
def test_map_names_every_source_file() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    files = [path for suffix in ("py", "pyx", "pxi") for path in (ROOT / "nbragg").rglob(f"*.{suffix}")]
    files += [path for suffix in ("c", "h", "cu") for path in (ROOT / "csrc").glob(f"*.{suffix}")]
    names = {path.name for path in files if path.name not in ("__init__.py", "__main__.py")}
    missing = sorted(name for name in names if not re.search(rf"\b{re.escape(name)}\b", text))
    assert not missing, f"not in docs/architecture.md: {missing}"


def test_changelog_has_an_entry() -> None:
    assert re.search(r"^## \[", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
