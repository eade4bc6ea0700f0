"""Draw the pictures of docs/detectors.md: ``python docs/detector_images.py [FOLDER]``.

A still of a crystal of 79 x 79 x 38 angstrom in a little water, as three detectors see it.
"""

from __future__ import annotations

import io
import sys
import warnings
from pathlib import Path

import numpy as np

import nbragg
from nbragg.analysis import picture
from nbragg.analysis.assembly import PanelView
from nbragg.analysis.plate import View, one_panel, several_panels
from nbragg.analysis.prediction import predict_spots

#: detector -> distance, mm
DRAWN = {"pilatus_6m": 300.0, "agipd_1m": 150.0, "cspad": 100.0}

#: rows and columns of a picture, and its points for an inch
_PIXELS, _DPI = 630, 60


def draw(name: str, distance_mm: float) -> bytes:
    """The expected photons, rings, and marks to 2.2 angstrom, as a PNG file."""
    crystal = nbragg.Crystal(
        cell=(79, 79, 38, 90, 90, 90),
        structure_factors=nbragg.StructureFactors.constant(3000),
        N=40,
        shape="gauss",
        misset_deg=(12, 34, 56),
        mosaic_spread_deg=0.08,
        mosaic_domains=10,
    )
    setup = nbragg.Setup(
        crystal,
        nbragg.Beam(wavelength_A=1.0, fluence=2e22, polarization=0.95),
        nbragg.Detector.named(name, distance_mm),
        nbragg.Sampling(water_um=6, oversample=1),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", nbragg.NbraggWarning)
        result = nbragg.simulate(setup)
    scene = result.scene
    if len(scene.panels) > 1:
        plate = several_panels(result.panels, PanelView.from_scene(scene), most=_PIXELS)
    else:
        used = scene.mask_image
        plate = one_panel(result.image, View.from_scene(scene), used, most=_PIXELS)
    spots = predict_spots(scene, d_min_A=2.2)
    mask = scene.mask_image
    if mask is not None:
        at = np.rint([spots["slow"], spots["fast"]]).astype(int)
        spots = spots[mask[at[0], at[1]]]
    figure = picture.draw(plate, spots=spots)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI)
    return buffer.getvalue()


def main(folder: Path) -> None:
    """Write every picture."""
    for name, distance in DRAWN.items():
        (folder / f"detector-{name.replace('_', '-')}.png").write_bytes(draw(name, distance))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "images")
