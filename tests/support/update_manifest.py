"""Write tests/manifest.sha256 anew: run after a change of what it guards that is meant."""

from __future__ import annotations

import hashlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MANIFEST = ROOT / "tests" / "manifest.sha256"
GUARDED = ("specs", "tests/golden", "tests/golden_beyond")
_IGNORED = {"__pycache__", ".DS_Store"}


def checksums() -> dict[str, str]:
    """SHA-256 of every guarded file by its path from the root of the repository."""
    files = (
        path
        for folder in GUARDED
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and not _IGNORED.intersection(path.parts)
    )
    return {
        path.relative_to(ROOT).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(files)
    }


def recorded() -> dict[str, str]:
    """The manifest's content; its lines are those of ``sha256sum``."""
    lines = MANIFEST.read_text(encoding="utf-8").splitlines()
    return {name: digest for digest, name in (line.split("  ", 1) for line in lines)}


def main() -> None:
    sums = checksums()
    MANIFEST.write_text("".join(f"{digest}  {name}\n" for name, digest in sums.items()), encoding="utf-8")
    print(f"{len(sums)} files in {MANIFEST.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
