"""The console program against the reference's files, case by case."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import golden_cases as g
import numpy as np
import pytest

from nbragg.base.errors import NbraggWarning

pytestmark = [
    pytest.mark.commands,
    pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning"),
]


def output_words(case_id: str) -> list[str]:
    """Options that name every output; -noprogress first, as in the reference's run."""
    outputs = g.BY_ID[case_id]["outputs"]
    words = ["-noprogress", "-floatfile", "float.bin", "-intfile", "int.img"]
    words += ["-noisefile", "noise.img"] if "noise" in outputs else ["-nonoise"]
    words += ["-pgmfile", "out.pgm"] if "pgm" in outputs else ["-nopgm"]
    return words


@pytest.mark.parametrize("case_id", g.IDS)
def test_case(case_id: str, folder: Path) -> None:
    """Float image, headers, integer, noise and PGM files; one and two threads alike to the bit."""
    g.prepare(case_id, folder)
    golden = g.reference(case_id)
    words = [*g.arguments(case_id), *output_words(case_id)]
    files = {}
    for threads in (1, 2):
        assert g.run_cli([*words, "-threads", str(threads)]) == 0
        names = ["float.bin", "int.img", "noise.img", "out.pgm"]
        files[threads] = {name: Path(name).read_bytes() for name in names if Path(name).exists()}
    assert files[1] == files[2]

    image = np.frombuffer(files[1]["float.bin"], "<f4").reshape(g.BY_ID[case_id]["shape"])
    g.assert_matches(image, golden["image"])
    header = files[1]["int.img"][:512].decode("latin1")
    assert header.split("}")[0] + "}" == g.BY_ID[case_id]["smv_header"]
    assert header[len(g.BY_ID[case_id]["smv_header"]) :].strip(" \f") == ""
    assert len(files[1]["int.img"]) == 512 + 2 * image.size

    if "int_file" in golden:
        assert files[1]["int.img"] == golden["int_file"].tobytes()
        assert files[1]["out.pgm"] == golden["pgm_file"].tobytes()
        noise = golden["noise_file"].tobytes()
        assert files[1]["noise.img"][:512] == noise[:512]
        if np.array_equal(image, golden["image"]):  # one ulp in one pixel may shift the whole random stream
            assert files[1]["noise.img"] == noise
    else:
        assert "noise.img" not in files[1] and "out.pgm" not in files[1]


@pytest.mark.parametrize("case_id", ["geometry/mosflm_center", "output/mask", "hkl/pattern_AT027"])
@pytest.mark.parametrize(
    "program", [["-m", "nbragg"], ["-c", "from nbragg.cli.nanobragg import main; exit(main())"]]
)
def test_as_a_process(case_id: str, program: list[str], folder: Path) -> None:
    """The same through a process of its own: python -m nbragg and the entry point."""
    g.prepare(case_id, folder)
    words = [*g.arguments(case_id), *output_words(case_id)]
    done = subprocess.run([sys.executable, *program, *words], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()  # the report
    image = np.fromfile("float.bin", "<f4").reshape(g.BY_ID[case_id]["shape"])
    g.assert_matches(image, g.reference(case_id)["image"])


def test_default_outputs(folder: Path) -> None:
    """All four files are written under their default names, and -nopgm and -nonoise leave theirs out."""
    words = ["-default_F", "10", "-cell", "50", "-N", "3", "-detpixels", "16", "-noprogress", "-seed", "1"]
    assert g.run_cli(words) == 0
    assert {p.name for p in folder.iterdir()} == {
        "floatimage.bin",
        "intimage.img",
        "image.pgm",
        "noiseimage.img",
    }
    for p in folder.iterdir():
        p.unlink()
    assert g.run_cli([*words, "-nopgm", "-nonoise"]) == 0
    assert {p.name for p in folder.iterdir()} == {"floatimage.bin", "intimage.img"}


@pytest.mark.parametrize(
    ("words", "about"),
    [
        ("-mosflm -pivot sample", "pivot"),
        ("-xds -pivot beam", "pivot"),
        ("-xds -Xclose 0.3", "close"),
        ("-xds -Yclose 0.3", "close"),
        ("-pix0_vector 0.1 0 0", "pix0"),
        ("-MW 18", "MW"),
        ("-sourcefile {data}/sources.txt", "weight"),
        ("-detpixels 2048 -roi 0 7 0 7 -N 1000 -oversample 1", "oversample"),
    ],
)
def test_ignored_settings_warn(
    words: str, about: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the reference accepts and ignores is said in one line on stderr."""
    with warnings.catch_warnings():
        warnings.simplefilter("default", NbraggWarning)
        base = "-default_F 10 -cell 50 -N 3 -detpixels 8 -noprogress -nonoise -nopgm"
        assert g.run_cli([*base.split(), *words.format(data=g.DATA).split()]) == 0
    err = capsys.readouterr().err
    lines = [line for line in err.splitlines() if about.lower() in line.lower()]
    assert len(lines) == 1, err
