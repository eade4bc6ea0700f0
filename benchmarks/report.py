"""Tables and plots from a result of `benchmarks.cpu`.

    python -m benchmarks.report benchmarks/results/cpu-DATE.json --docs docs/performance.md \\
        --plots docs/images

``--docs`` replaces what lies between the two marker lines of the document; without it the tables are printed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from nbragg.io.files.atomic import open_atomic

from . import report_plots
from .checks import find

BEGIN, END = "<!-- results: written by benchmarks/report.py -->", "<!-- end of results -->"

Document = dict[str, Any]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(["| " + " | ".join(head) + " |", "|---" * len(head) + "|", *lines])


def number(value: float) -> str:
    """Three digits, without an exponent."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _ratio(record: dict[str, Any] | None) -> str:
    if record is None or not record.get("ratio"):
        return "-"
    ratio = record["ratio"]
    text = f"**{number(ratio['median'])}** ({number(ratio['low'])} to {number(ratio['high'])})"
    return text if record["target"] is None else f"{text}, {record['target']}"


def _keys(document: Document) -> list[str]:
    return list(dict.fromkeys(record["workload"] for record in document["records"]))


def machine_text(document: Document) -> str:
    """The machine in two sentences."""
    m, s = document["machine"], document["settings"]
    text = (
        f"{m['cpu']}, {m['cores']} cores, {m['memory_GB']:g} GB; {m['platform']}; Python {m['python']}, "
        f"NumPy {m['numpy']}; nanobragg {m['nanobragg']}, "
        f"{m['compiler'] or 'compiler unknown'}, {m['best_isa']}. "
        f"{m['date'][:10]}, load {m['load_at_start']:g} at the start, {s['repetitions']} repetitions."
    )
    if m["reference"]:
        r = m["reference"]
        text += f" Reference: `{r['flags']}`, {r['compiler']}, SHA-256 {r['sha256'][:16]}."
    if s["quick"]:
        text += " **A quick run on tiny sizes: these numbers mean nothing.**"
    return text


def workload_tables(document: Document) -> str:
    """Times and ratios, a table for each thread count."""
    parts = []
    records = document["records"]
    for threads in sorted({record["threads"] for record in records}):
        rows = []
        for key in _keys(document):
            double, mixed = (
                find(records, workload=key, threads=threads, implementation="nbragg", precision=precision)
                for precision in ("double", "mixed")
            )
            theirs = find(records, workload=key, threads=threads, implementation="reference")
            if double is None or mixed is None:
                continue
            rows.append(
                [
                    key,
                    double["title"],
                    f"{double['samples'] / 1e6:.4g}",
                    number(theirs["ns_per_sample"]) if theirs else "-",
                    number(double["ns_per_sample"]),
                    number(mixed["ns_per_sample"]),
                    number(double["seconds"]),
                    _ratio(double),
                    _ratio(mixed),
                ]
            )
        head = [
            "", "job", "10^6 samples", "reference, ns", "double, ns", "mixed, ns", "double, s",
            "ratio double, target", "ratio mixed, target",
        ]  # fmt: skip
        parts.append(f"{threads} thread{'s' if threads > 1 else ''}:\n\n{table(head, rows)}")
    return "\n\n".join(parts)


def level_table(document: Document) -> str:
    """Nanoseconds a sample by instruction set on one thread, and the speed-up of all threads."""
    levels = document["levels"]
    if not levels:
        return ""
    isas = document["machine"]["isa"]
    most = max(record["threads"] for record in levels)
    rows = []
    for key in dict.fromkeys(record["workload"] for record in levels):
        row = [key]
        for precision in ("double", "mixed"):
            for isa in isas:
                one = find(levels, workload=key, isa=isa, precision=precision, threads=1)
                row.append(number(one["ns_per_sample"]) if one else "-")
        one, all_ = (
            find(levels, workload=key, isa=isas[-1], precision="double", threads=n) for n in (1, most)
        )
        row.append(f"{one['seconds'] / all_['seconds']:.2f}" if one and all_ else "-")
        rows.append(row)
    head = ["", *(f"{isa}, {precision}" for precision in ("double", "mixed") for isa in isas)]
    return table([*head, f"speed-up on {most} threads"], rows)


def command_table(document: Document) -> str:
    """Wall time and peak memory of the commands."""
    rows = []
    for entry in document["commands"]:
        ours, theirs = entry["nbragg"], entry.get("reference")
        rows.append(
            [
                entry["workload"],
                f"{ours['wall_seconds']:.2f}",
                f"{theirs['wall_seconds']:.2f}" if theirs else "-",
                f"{ours['peak_MB']:.0f}",
                f"{theirs['peak_MB']:.0f}" if theirs else "-",
            ]
        )
    return table(["", "wall, s", "reference, s", "peak, MB", "reference, MB"], rows)


def check_table(document: Document) -> str:
    """What is promised, and what was found."""
    verdict = {True: "yes", False: "**no**", None: ""}
    return table(
        ["", "found", "target", "met"],
        [
            [c["name"], f"{number(c['value'])} {c.get('unit', '')}".strip(), c["target"], verdict[c["ok"]]]
            for c in document["checks"]
        ],
    )


def roofline_tables(document: Document) -> str:
    """What the processor can do, and how much of it each workload uses."""
    roof = document["roofline"]
    if not roof or not roof["limits"]:
        return "No C compiler was found to measure the processor's limits with."
    names = {
        "flops_double": "double, 10^9 flops/s", "flops_float": "float, 10^9 flops/s",
        "divisions_double": "double, 10^9 divisions/s", "divisions_float": "float, 10^9 divisions/s",
        "l1_bytes": "L1, 10^9 bytes/s",
    }  # fmt: skip
    limits = table(
        ["one core", *names.values()],
        [[isa, *(number(found[name] / 1e9) for name in names)] for isa, found in roof["limits"].items()],
    )
    rows = [
        [
            row["workload"],
            row["precision"],
            number(row["flops"]),
            number(row["divisions"]),
            number(row["l1_bytes"]),
            number(row["flops"] / row["l1_bytes"]),
            number(row["seconds"] * 1e9),
            row["bound_by"],
            number(row["measured_seconds"] * 1e9),
            f"{100 * row['fraction_of_limit']:.0f} %",
        ]
        for row in roof["rows"]
    ]
    head = [
        "", "precision", "flops", "divisions", "bytes to L1", "flops/byte", "limit, ns", "set by",
        "measured, ns", "of the limit",
    ]  # fmt: skip
    return f"{limits}\n\n{table(head, rows)}"


def sweep_table(document: Document) -> str:
    """Throughput by detector size and oversampling (cubic, N 5, 1 A), and the ratio to the reference."""
    sweep = document["sweep"]
    if not sweep:
        return ""
    point = {"implementation": "nbragg", "crystal": "cubic", "N": 5, "wavelength_A": 1.0, "features": False}
    counts = sorted({record["oversample"] for record in sweep})
    rows = []
    for size in sorted({record["shape"][0] for record in sweep}):
        row = [f"{size} x {size}"]
        for oversample in counts:
            found = find(sweep, shape=[size, size], oversample=oversample, **point)
            if found is None:
                row.append("-")
                continue
            ratio = f", {number(found['ratio'])} x" if found.get("ratio") else ""
            row.append(f"{found['pixels_per_s'] / 1e6:.3g}{ratio}")
        peak = document.get("peak_MB_by_size", {}).get(str(size))
        rows.append([*row, f"{peak:.0f}" if peak else "-"])
    head = ["10^6 pixels/s, times the reference", *(f"oversample {n}" for n in counts), "peak, MB"]
    ours = [record for record in sweep if record["implementation"] == "nbragg"]
    ratios = sorted(record["ratio"] for record in ours if record.get("ratio"))
    text = f"{len(ours)} configurations."
    if ratios:
        middle = ratios[len(ratios) // 2]
        text += (
            f" Ratio to the reference at {len(ratios)} of them: median {number(middle)}, "
            f"{number(ratios[0])} to {number(ratios[-1])}."
        )
    return f"{table(head, rows)}\n\n{text}"


def text_of(document: Document, source: str) -> str:
    """All tables."""
    sections = [
        ("", machine_text(document) + f" All numbers: [{Path(source).name}]({source})."),
        ("Workloads", workload_tables(document)),
        ("Promises", check_table(document) if document["checks"] else ""),
        ("Instruction sets", level_table(document)),
        ("The whole command", command_table(document) if document["commands"] else ""),
        ("Sweep of AT-PERF-007", sweep_table(document)),
        ("Distance from the limit", roofline_tables(document) if document["roofline"] else ""),
    ]
    return "\n\n".join(f"### {title}\n\n{body}" if title else body for title, body in sections if body)


def replace_results(path: Path, text: str) -> None:
    """Put the tables between the markers of a document.

    Raises
    ------
    ValueError
        When the document has no markers.
    """
    before = path.read_text(encoding="utf-8")
    head, begin, rest = before.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f'{path} has no lines "{BEGIN}" and "{END}" to put the results between')
    with open_atomic(path) as stream:
        stream.write(f"{head}{BEGIN}\n\n{text}\n\n{END}{tail}".encode())


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=__doc__.split("\n")[0])
    parser.add_argument("result", type=Path, help="JSON file of benchmarks.cpu")
    parser.add_argument("--docs", type=Path, help="document to put the tables into")
    parser.add_argument("--plots", type=Path, help="folder for the plots (needs matplotlib)")
    given = parser.parse_args(argv)
    document = json.loads(given.result.read_text(encoding="utf-8"))
    if given.docs is None:
        print(text_of(document, str(given.result)))
    else:
        source = Path("..") / given.result if not given.result.is_absolute() else given.result
        text = text_of(document, source.as_posix())
        if given.plots is not None and not given.plots.is_absolute():
            folder = Path("..") / given.plots
            images = [
                f"![{title}]({(folder / name).as_posix()})" for name, title in report_plots.PLOTS.items()
            ]
            text += "\n\n### Plots\n\n" + "\n\n".join(images)
        replace_results(given.docs, text)
    if given.plots is not None:
        report_plots.draw(document, given.plots)
    return 0


if __name__ == "__main__":
    sys.exit(main())
