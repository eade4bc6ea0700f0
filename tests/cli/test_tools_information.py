"""``nbragg information`` and `nbragg.information`: sigmas, what is varied, files, bad input."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import nbragg
from nbragg.cli import tools
from nbragg.refinement.planning import spread

WORDS = (
    "-cell 70 80 90 -default_F 100 -N 6 -distance 100 -detpixels 24 -pixel 2.6 -fluence 2e27 "
    "-misset 10 20 30 -oversample 2 -physics exact"
)
LINE = WORDS.split()
SETUP = nbragg.from_cli(LINE)
FREE = ["crystal.orientation", "crystal.cell", "beam.fluence"]


def _errors(err: str) -> list[str]:
    """Without warnings: the small images are coarse."""
    return [line for line in err.splitlines() if ": warning:" not in line]


def information(*words: str, line: list[str] | None = None) -> int:
    return tools.main(["information", *words, "--threads", "1", "--", *(LINE if line is None else line)])


def test_one_set_up_is_its_linearization() -> None:
    noise = nbragg.Noise(readout=2)
    found = nbragg.information(SETUP, FREE, noise=noise, background=0.5, free_background="plane", threads=1)
    linear = nbragg.Simulator(SETUP).linearize(FREE)
    same = linear.information(noise, background=0.5, free_background="plane")
    assert isinstance(found, nbragg.Information) and found.parameters == same.parameters
    np.testing.assert_array_equal(found.matrix, same.matrix)


def test_priors_of_groups() -> None:
    priors = {"crystal.cell": 1e-5, "beam.fluence": 1e20}
    sigma = nbragg.information(SETUP, FREE, priors=priors, threads=1).sigma
    for name in ("crystal.cell.a", "crystal.cell.b", "crystal.cell.c"):
        assert sigma[name] == pytest.approx(1e-5, rel=1e-3)
    assert sigma["beam.fluence"] == pytest.approx(1e20, rel=1e-3)


def test_something_varied() -> None:
    """Of parameters, groups and plain fields; each value as a set-up of its own."""
    scan = nbragg.information(SETUP, FREE, vary={"crystal.N": [4, 6, 9]}, threads=1)
    assert isinstance(scan, nbragg.InformationScan)
    for k, n in enumerate((4, 6, 9)):
        one = nbragg.information(SETUP.replace(N=(n, n, n)), FREE, threads=1).sigma
        assert {name: float(sigma[k]) for name, sigma in scan.sigma.items()} == pytest.approx(one, rel=1e-9)
    assert scan.sigma["crystal.cell.a"][2] < scan.sigma["crystal.cell.a"][0]
    wide = nbragg.information(SETUP, ["crystal.cell"], vary={"beam.fluence": (1e27, 1e29)}, threads=1)
    assert wide.values.shape == (12,) and wide.unit == "ph/m^2"
    # Poisson without a background: sigma goes as one over the root of the photons
    sigma = wide.sigma["crystal.cell.b"] * np.sqrt(wide.values)
    np.testing.assert_allclose(sigma, sigma[0], rtol=0.2)
    field = nbragg.information(SETUP, ["crystal.cell"], vary={"crystal.osc_deg": [0, 0.1, 0.5]}, threads=1)
    assert field.unit == "deg" and (np.diff(field.sigma["crystal.cell.c"]) != 0).all()
    assert nbragg.information(
        SETUP, ["crystal.cell"], vary={"sampling.oversample": [1, 2, 3]}, threads=1
    ).values.tolist() == [1, 2, 3]


def test_spread() -> None:
    np.testing.assert_allclose(spread(80, 300, 3), [80, 190, 300])
    np.testing.assert_allclose(spread(1, 100, 3), [1, 10, 100])
    assert len(spread(-1, 1)) == 12


def test_what_is_printed_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    vary = ["--vary", "detector.distance_mm", "80:300:3", "crystal.N", "4:9:3"]
    words = ["--free", *FREE, "--noise", "readout=1", "--background", "0.5", *vary]
    assert information(*words, "--plot", "i.png", "--json", "i.json") == 0
    out = capsys.readouterr().out.splitlines()
    noise = nbragg.Noise(readout=1)
    found = nbragg.information(SETUP, FREE, noise=noise, background=0.5, threads=1)
    (row,) = [line.split() for line in out if line.startswith("crystal.cell.a ") and "%" in line]
    assert float(row[3]) == pytest.approx(found.sigma["crystal.cell.a"], rel=0.06)
    assert float(row[4]) == pytest.approx(100 * found.sigma["crystal.cell.a"] / 70, rel=0.06)
    assert "sigma against detector.distance_mm (mm)" in out and "sigma against crystal.N" in out
    assert out[-2:] == ["wrote i.json", "wrote i.png"] and Path("i.png").read_bytes()[:4] == b"\x89PNG"
    content = json.loads(Path("i.json").read_text())
    assert content["sigma"] == pytest.approx(list(found.sigma.values()))
    np.testing.assert_allclose(content["correlation"], found.correlation)
    assert [one["values"] for one in content["varied"]] == [[80, 190, 300], [4, 6.5, 9]]
    assert content["varied"][1]["sigma"]["crystal.cell.b"][0] > found.sigma["crystal.cell.b"]


def test_undetermined_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    nbragg.dump(SETUP, "s.json")
    words = ["s.json", "--free", "crystal.cell", "beam.wavelength_A"]
    more = ["--json", "i.json", "--plot", "i.png", "--threads", "1"]
    assert tools.main(["information", *words, *more]) == 0
    out = capsys.readouterr().out
    assert "undetermined: " in out and " with crystal.cell." in out
    content = json.loads(Path("i.json").read_text())
    assert content["sigma"] == [None] * 4 and len(content["undetermined"]) == 1
    assert tools.main(["information", *words, "--priors", "beam.wavelength_A=0.01%", "--threads", "1"]) == 0
    out = capsys.readouterr().out
    assert "undetermined" not in out and "0.01 %" in out
    assert "strongest correlations" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "--free"),
        (["--free", "crystal.cel"], "did you mean"),
        (["--free", "beam.fluence", "--background", "plane"], "--free-background"),
        (["--free", "beam.fluence", "--free-background", "flat"], "invalid choice"),
        (["--free", "beam.fluence", "--priors", "crystal.cell.a=1"], "not free"),
        (["--free", "beam.fluence", "--priors", "beam.fluence=0"], "above 0"),
        (["--free", "beam.fluence", "--noise", "gian=2"], "did you mean 'gain'"),
        (["--free", "beam.fluence", "--vary", "crystal.N"], "LOW:HIGH"),
        (["--free", "beam.fluence", "--vary", "crystal.N", "10"], "LOW:HIGH"),
        (["--free", "beam.fluence", "--vary", "crystal.N", "10:20:2"], "at least 3"),
        (["--free", "beam.fluence", "--vary", "crystal.N", "10:10"], "no range"),
        (["--free", "beam.fluence", "--vary", "crystal.N", "1:x"], "not a number"),
        (["--free", "beam.fluence", "--vary", "detector.distanc_mm", "80:300"], "did you mean"),
        (["--free", "beam.fluence", "--vary", "detector.distance_mm", "-80:300"], "not -80"),
        (["--free", "beam.fluence", "--plot", "i.pdf"], ".png"),
        (["--free", "beam.fluence", "--json", "nowhere/i.json"], "does not exist"),
        (["a.json", "--recipe", "b.json", "--free", "beam.fluence"], "given twice"),
    ],
)
def test_bad_input(
    words: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert information(*words) == 2
    (err,) = _errors(capsys.readouterr().err)
    assert said in err and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"vary": {"crystal.N": (4, 6), "beam.fluence": (1, 2)}}, "vary names 2 things"),
        ({"vary": {"crystal.N": (4,)}}, "two ends"),
        ({"vary": {"crystal.shape": (1, 2)}}, "crystal.shape"),
        ({"vary": {"sampling.oversample": (1, 2.5, 3)}}, "whole number"),
        ({"priors": {"beam.fluenc": 1}}, "did you mean"),
        ({"mask": np.ones((3, 3))}, "(3, 3)"),
    ],
)
def test_bad_input_from_python(given: dict[str, object], said: str) -> None:
    with pytest.raises(nbragg.InputError) as error:
        nbragg.information(SETUP, ["beam.fluence"], **given)
    assert said in str(error.value)
