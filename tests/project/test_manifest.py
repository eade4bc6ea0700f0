"""The golden images and the specification change on purpose only."""

from __future__ import annotations

from update_manifest import checksums, recorded

_HOW = "; if this is meant, run python tests/support/update_manifest.py and say why in CHANGELOG.md"


def test_guarded_files_match_the_manifest() -> None:
    found, expected = checksums(), recorded()
    changed = [name for name in found if name in expected and found[name] != expected[name]]
    assert not changed, f"changed: {changed}{_HOW}"
    added = sorted(found.keys() - expected.keys())
    assert not added, f"not in the manifest: {added}{_HOW}"
    missing = sorted(expected.keys() - found.keys())
    assert not missing, f"missing: {missing}{_HOW}"


def test_manifest_covers_both_folders() -> None:
    names = recorded()
    assert "specs/canonical.md" in names
    assert sum(name.startswith("tests/golden/") and name.endswith(".npz") for name in names) >= 118
