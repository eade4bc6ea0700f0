"""One image of a rotation data set, by the command anybody would give: ``python -m nbragg.demo [FOLDER]``."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np

from nbragg.analysis.contrast import shrunk
from nbragg.datasets import LYSOZYME_CELL, lysozyme
from nbragg.io import read_image, save_image

__all__ = ["main"]

#: rows and columns that the picture has at most
_PICTURE = 850


def main(arguments: list[str] | None = None) -> int:
    """Render the demonstration image into a folder (default ``demo``) and say what and where it is."""
    given = sys.argv[1:] if arguments is None else arguments
    if len(given) > 1 or (given and given[0].startswith("-")):
        print("usage: python -m nbragg.demo [FOLDER]", file=sys.stderr)
        return 2
    folder = Path(given[0] if given else "demo")
    folder.mkdir(parents=True, exist_ok=True)

    print("An image of 0.1 degree of a crystal of lysozyme at a synchrotron, as a Pilatus 6M records it.")
    print("Structure factors: random amplitudes after Wilson's statistics in the cell of lysozyme (P1),")
    print("not a measurement.")
    print(f"In the folder {folder}:")
    lysozyme(d_min_A=1.4).save(folder / "lysozyme.mtz", cell=LYSOZYME_CELL)
    words = ["-preset", "mx", "-hkl", "lysozyme.mtz", "-misset", "10", "20", "30", "-seed", "1"]
    print("    nanobragg", *words, flush=True)
    with open(folder / "demo.log", "w", encoding="utf-8") as log:
        command = [sys.executable, "-m", "nbragg", *words]
        done = subprocess.run(command, cwd=folder, stdout=log, check=False)
    if done.returncode:
        return done.returncode
    report = (folder / "demo.log").read_text(encoding="utf-8")
    for line in re.findall(r"^rendered .*|^  max_I .*|^  mean .*", report, re.MULTILINE):
        print(line)

    counts = read_image(folder / "mx_0001.cbf").image
    counts = np.maximum(counts, 0)  # gaps between modules are -1
    save_image(folder / "demo.png", shrunk(counts, _PICTURE)[0])
    for name, what in (
        ("demo.png", "the picture, smaller: the brightest of 3 x 3 pixels"),
        ("mx_0001.png", "the picture, pixel by pixel"),
        ("mx_0001.cbf", "counts of the detector, for DIALS, XDS, ADXV"),
        ("floatimage.bin", "photons expected, float32 (slow, fast)"),
        ("demo.log", "what nanobragg printed: every parameter"),
    ):
        print(f"  {folder / name}  {what}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
