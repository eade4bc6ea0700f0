"""The benchmark program runs and writes what its readers expect; no time is judged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (ROOT / "benchmarks").exists(), reason="needs the source tree"),
]

COLUMNS = {
    "implementation", "workload", "isa", "precision", "threads", "shape", "crystal", "xtal_shape", "N",
    "oversample", "wavelength_A", "samples", "seconds", "seconds_low", "seconds_high", "repetitions",
    "samples_per_s", "ratio", "target",
}  # fmt: skip
SWEEP_COLUMNS = {
    "implementation", "threads", "shape", "crystal", "N", "oversample", "wavelength_A", "seconds",
    "pixels_per_s", "samples_per_s",
}  # fmt: skip


def run(module: str, *words: str, reference: str = "") -> str:
    """Output of ``python -m MODULE WORDS``."""
    done = subprocess.run(
        [sys.executable, "-m", module, *words], cwd=ROOT, env={**os.environ, "NB_C_BIN": reference},
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_refinement(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    run("benchmarks.refinement", "--quick", "--out", str(path))
    (level,) = read(path)["results"].values()
    assert level["worst_error_in_sigmas"][0] < 5 and level["chi_square"] == pytest.approx(1, abs=0.05)


def test_stills(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    run("benchmarks.stills", "--quick", "--out", str(path))
    one, two = read(path)["results"]
    assert one["chi_square"] == two["chi_square"] == pytest.approx(1, abs=0.05) and two["converged"]


def test_spots(tmp_path: Path) -> None:
    """Every job is compared with the full rendering, and no pixel has lost more than it may."""
    path = tmp_path / "result.json"
    run("benchmarks.spots", "--quick", "--out", str(path))
    results = read(path)["results"]
    assert results.keys() == {"G1", "G2", "S1", "S2", "S3", "F1", "F2", "F3"}
    assert all(0 <= job["error_over_promise"] <= 1 for job in results.values())


def test_spot_bound(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    run("benchmarks.spot_bound", "--quick", "--out", str(path))
    results = read(path)["results"]
    assert results["scenes"] >= 15 and 0 <= results["largest_ratio"] <= 1


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("benchmarks") / "result.json"
    words = ("--quick", "--threads", "2", "--out", str(path))
    run("benchmarks.cpu", *words, "--workloads", "W1", "W2", "W4", "W7")
    return path


def read(path: Path) -> dict[str, Any]:
    found = json.loads(path.read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def test_document(result: Path) -> None:
    document = read(result)
    assert document["schema"] == 1
    assert document["settings"]["quick"] is True
    assert document["machine"]["reference"] is None
    assert {"cpu", "cores", "isa", "best_isa", "compiler", "numpy", "nanobragg"} <= document["machine"].keys()


def test_records(result: Path) -> None:
    """Every workload in both precisions on 1 and 2 threads, and on every instruction set."""
    document = read(result)
    records, levels = document["records"], document["levels"]
    assert {(r["workload"], r["precision"], r["threads"]) for r in records} == {
        (key, precision, n)
        for key in ("W1", "W2", "W4", "W7")
        for precision in ("double", "mixed")
        for n in (1, 2)
    }
    assert {r["isa"] for r in levels} == set(document["machine"]["isa"])
    for record in records:
        assert record.keys() >= COLUMNS
        assert record["seconds"] > 0
        assert record["samples_per_s"] == pytest.approx(record["samples"] / record["seconds"])
        assert record["ratio"] is None
    by_key = {r["workload"]: r for r in records}
    assert by_key["W2"]["samples"] == 32 * 32 * 100
    assert by_key["W4"]["interpolation"] == "tricubic"
    assert by_key["W7"]["images"] == 3


def test_sweep_and_checks(result: Path) -> None:
    document = read(result)
    assert len(document["sweep"]) == 2 * (2 * 4 * 3 * 4 + 1)  # AT-PERF-007 on two sizes
    assert all(row.keys() >= SWEEP_COLUMNS for row in document["sweep"])
    names = " ".join(check["name"] for check in document["checks"])
    for word in ("speed-up", "intercept", "peak memory", "AT-PERF-007"):
        assert word in names
    for entry in document["commands"]:
        assert entry["nbragg"]["peak_MB"] > 5


def test_report_goes_into_a_document(result: Path, tmp_path: Path) -> None:
    """The tables replace what lies between the markers, and nothing else."""
    text = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    document = tmp_path / "performance.md"
    document.write_text(text, encoding="utf-8")
    plots = tmp_path / "plots"
    run("benchmarks.report", str(result), "--docs", str(document), "--plots", str(plots))
    written = document.read_text(encoding="utf-8")
    assert written.startswith(text.partition("<!-- results")[0])
    assert written.endswith(text.partition("<!-- end of results -->")[2])
    assert "| W2 | 100 mosaic domains |" in written
    assert {path.name for path in plots.iterdir()} == {
        "benchmark-ratio.png", "benchmark-sweep.png", "benchmark-roofline.png",
    }  # fmt: skip


def test_reference_is_timed_and_compared(tmp_path: Path) -> None:
    """With nanobragg itself in the reference's place: a ratio, and no difference between the images."""
    program = tmp_path / "reference"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -W ignore -m nbragg "$@"\n')
    program.chmod(0o755)
    path = tmp_path / "result.json"
    words = ("--quick", "--parts", "workloads", "--workloads", "W1", "--threads", "1", "--out", str(path))
    run("benchmarks.cpu", *words, reference=str(program))
    document = read(path)
    assert len(document["machine"]["reference"]["sha256"]) == 64
    records = document["records"]
    assert [r["implementation"] for r in records] == ["nbragg", "nbragg", "reference"]
    for record in records[:2]:
        assert record["ratio"]["low"] <= record["ratio"]["median"] <= record["ratio"]["high"]
        assert record["deviation_from_reference"] < 2e-6


def test_missing_reference_is_said(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.cpu", "--quick", "--workloads", "W1"], cwd=ROOT,
        env={**os.environ, "NB_C_BIN": str(tmp_path / "nothing")}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode != 0
    assert "is not a program" in done.stderr


def test_derivatives_are_timed(tmp_path: Path) -> None:
    path = tmp_path / "gradient.json"
    run("benchmarks.gradient", "--quick", "--out", str(path))
    for by_precision in read(path)["results"].values():
        assert set(by_precision) == {"double", "mixed"}
        for scenes in by_precision.values():
            for found in scenes.values():
                assert min(found["over_forward"].values()) > 0
                assert set(found["over_forward"]) == set(found["ns_a_pixel"])


def test_spectrum(tmp_path: Path) -> None:
    path = tmp_path / "spectrum.json"
    run("benchmarks.spectrum", "--quick", "--out", str(path))
    for times in read(path)["times"].values():
        assert set(times["gauss, mixed"]) == {"one wavelength", "line", "culled", "direct"}


def test_detectors_are_timed(tmp_path: Path) -> None:
    path = tmp_path / "response.json"
    run("benchmarks.response", "--quick", "--out", str(path))
    for by_response in read(path)["Mpixels_a_second"].values():
        assert {"counting noise", "jungfrau", "counter with dead time"} <= set(by_response)
        assert all(min(by_image.values()) > 0 for by_image in by_response.values())
