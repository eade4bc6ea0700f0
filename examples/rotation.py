"""Three consecutive rotation images, each the sum of ten phi steps."""

import sys
from pathlib import Path

import nbragg
from nbragg.datasets import LYSOZYME_CELL, lysozyme

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")

crystal = nbragg.Crystal(
    cell=LYSOZYME_CELL,
    N=(10, 10, 20),
    misset_deg=(10, 20, 30),
    osc_deg=0.5,
    phisteps=10,
    structure_factors=lysozyme(d_min_A=3.0),
)
beam = nbragg.Beam(wavelength_A=1.0, flux=1e12, beamsize_mm=1e-3)
detector = nbragg.Detector(distance_mm=100, pixel_mm=0.2, fpixels=256, spixels=256)

frames = nbragg.Series.frames(nbragg.Setup(crystal, beam, detector), count=3)

for number, result in enumerate(nbragg.Simulator(frames.setup).render_many(frames), 1):
    start = frames[number - 1].crystal.phi_deg
    print(f"phi {start:.1f} to {start + 0.5:.1f} deg: {result.image.sum():.4g} photons")
    result.save(folder / f"rotation_{number:03d}.png")
