"""Renders one command line through the Python interface and does nothing else: for measuring peak memory.

``python -m benchmarks.child THREADS MASK WORDS ...``; MASK 1 gives the detector a mask of ones.
"""

from __future__ import annotations

import sys
import warnings

import numpy as np

from nbragg import build_scene, render
from nbragg.cli.parser import parse


def main(threads: int, mask: bool, words: list[str]) -> None:
    warnings.simplefilter("ignore")
    line = parse(words)
    setup = line.setup
    detector = setup.detector
    if mask:
        assert detector.spixels is not None and detector.fpixels is not None
        detector = detector.replace(mask=np.ones((detector.spixels, detector.fpixels), np.uint8))
    scene = build_scene(setup.replace(detector=detector))
    render(scene, threads=threads)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2] == "1", sys.argv[3:])
