"""Stills of one crystal in random orientations; a seed always gives the same ones."""

import sys
from pathlib import Path

import nbragg
from nbragg.datasets import LYSOZYME_CELL, lysozyme

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")

crystal = nbragg.Crystal(cell=LYSOZYME_CELL, N=(10, 10, 20), structure_factors=lysozyme(d_min_A=3.0))
beam = nbragg.Beam(wavelength_A=1.0, flux=1e12, beamsize_mm=1e-3)
detector = nbragg.Detector(distance_mm=100, pixel_mm=0.2, fpixels=256, spixels=256)

# uniform over all rotations; shots[i] is the i-th set-up, and the first of more shots are the same
shots = nbragg.Series.random(nbragg.Setup(crystal, beam, detector), count=3, seed=1)

for number, result in enumerate(nbragg.Simulator(shots.setup).render_many(shots), 1):
    x, y, z = result.scene.placement.crystal.misset_deg
    print(f"shot {number}: misset {x:8.3f} {y:8.3f} {z:8.3f} deg, strongest {result.image.max():.4g} photons")
    result.save(folder / f"random_{number:03d}.png")
