"""Stills of one crystal in random orientations; each seed always gives the same one."""

import sys
from pathlib import Path

import nbragg
from nbragg.datasets import LYSOZYME_CELL, lysozyme
from nbragg.io import png

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")

crystal = nbragg.Crystal(
    cell=LYSOZYME_CELL, N=(10, 10, 20), misset_deg="random", structure_factors=lysozyme(d_min_A=3.0)
)
beam = nbragg.Beam(wavelength_A=1.0, flux=1e12, beamsize_mm=1e-3)
detector = nbragg.Detector(distance_mm=100, pixel_mm=0.2, fpixels=256, spixels=256)

for seed in range(1, 4):
    # "exact" draws orientations uniformly over all rotations
    result = nbragg.simulate(crystal.replace(misset_seed=seed), beam, detector, physics="exact")
    x, y, z = result.scene.misset_deg
    print(f"seed {seed}: misset {x:8.3f} {y:8.3f} {z:8.3f} deg, strongest {result.image.max():.4g} photons")
    png.write(folder / f"random_{seed:03d}.png", result.image)
