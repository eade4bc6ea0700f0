"""Images of the physics beyond the reference program: tests/golden_beyond, written by other programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

FOLDER = Path(__file__).parents[1] / "golden_beyond"
CASES: dict[str, dict[str, Any]] = {
    case["id"]: case for case in json.loads((FOLDER / "cases.json").read_text())["cases"]
}


def array(name: str) -> npt.NDArray[Any]:
    """A stored array: ``psf/gauss_1.0.psf`` is ``gauss_1.0.psf`` of psf.npz."""
    archive, key = name.split("/", 1)
    with np.load(FOLDER / f"{archive}.npz") as stored:
        found: npt.NDArray[Any] = stored[key]
    return found


def image(case: str) -> npt.NDArray[np.float32]:
    """The image that a case of noise or point spread starts from."""
    with np.load(FOLDER / "inputs" / "images.npz") as stored:
        found: npt.NDArray[np.float32] = stored[CASES[case]["image"]]
    return found


def options(case: str) -> dict[str, str]:
    """The words of a case's command line by option; flags have none."""
    words = CASES[case]["args"].split()
    found: dict[str, str] = {}
    for word, following in zip(words, [*words[1:], "-"], strict=True):
        if word.startswith("-") and not word[1:2].isdigit():
            found[word] = "" if following.startswith("-") else following
    return found
