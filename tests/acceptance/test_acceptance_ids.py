"""Every acceptance ID has its test."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parents[1]

IDS = [
    *(f"AT-GEO-{n:03}" for n in range(1, 7)),
    *(f"AT-SAM-{n:03}" for n in range(1, 4)),
    "AT-ABS-001",
    *(f"AT-STR-{n:03}" for n in range(1, 5)),
    "AT-POL-001",
    "AT-BKG-001",
    "AT-NOISE-001",
    *(f"AT-IO-{n:03}" for n in range(1, 5)),
    *(f"AT-SRC-{n:03}" for n in range(1, 4)),
    *(f"AT-PRE-{n:03}" for n in range(1, 3)),
    "AT-ROI-001",
    "AT-FLU-001",
    "AT-STA-001",
    *(f"AT-CLI-{n:03}" for n in range(1, 10)),
    # 019 does not exist; 028 is a matter of benchmarks
    *(f"AT-PARALLEL-{n:03}" for n in range(1, 30) if n not in (19, 28)),
]
# checked by benchmarks and by the tests of the tools
ELSEWHERE = ("AT-PARALLEL-028", "AT-PERF", "AT-TOOLS")


def covered() -> dict[str, list[str]]:
    """Names of the tests whose docstring names an ID."""
    found: dict[str, list[str]] = {}
    for path in sorted(HERE.glob("*/test_*.py")):
        for name, text in re.findall(r'^def (test_\w+)\(.*?\n    """(.*?)"""', path.read_text(), re.M | re.S):
            for identifier in re.findall(r"AT-[A-Z]+-\d{3}", text):
                found.setdefault(identifier, []).append(name)
    return found


def test_every_id_has_its_test() -> None:
    """No ID without a test, and no test that names an ID which does not exist."""
    names = covered()
    assert [i for i in IDS if i not in names] == []
    unknown = [i for i in names if i not in IDS and not i.startswith(ELSEWHERE)]
    assert unknown == []
    assert len(IDS) == len(set(IDS)) == 65


def test_the_list_is_the_specification_s() -> None:
    """The IDs above are those of specs/acceptance.md, where ranges and lists are written short."""
    text = (HERE.parent / "specs" / "acceptance.md").read_text()
    listed = set()
    for cell in re.findall(r"^\|\s*(AT-[^|]*)\|", text, re.M):
        prefix = ""
        for part in cell.replace("/", ",").split(","):
            match = re.fullmatch(r"\s*(AT-[A-Z]+-)?(\d+)(?:(?:\.\.| to )(\d+))?\s*", part)
            assert match, cell
            prefix = match[1] or prefix
            for n in range(int(match[2]), int(match[3] or match[2]) + 1):
                listed.add(f"{prefix}{n:03}")
    assert {i for i in listed if not i.startswith(ELSEWHERE)} == set(IDS)
