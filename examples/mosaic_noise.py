"""A less ideal experiment: mosaic crystal, bandwidth, divergence, water and counting noise, saved as SMV."""

import sys
from pathlib import Path

import nbragg
from nbragg.datasets import LYSOZYME_CELL, lysozyme

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")

crystal = nbragg.Crystal(
    cell=LYSOZYME_CELL,
    N=(6, 6, 12),
    shape="gauss",
    misset_deg=(10, 20, 30),
    mosaic_spread_deg=0.3,
    mosaic_domains=5,
    structure_factors=lysozyme(d_min_A=3.0),
)
beam = nbragg.Beam(
    wavelength_A=1.0,
    dispersion_pct=0.5,
    dispersion_steps=3,
    hdivrange_mrad=0.5,
    hdivsteps=2,
    flux=1e13,  # photons/s
    exposure_s=1.0,
    beamsize_mm=1e-3,
    polarization=0.95,
)
detector = nbragg.Detector(distance_mm=100, pixel_mm=0.2, fpixels=256, spixels=256)
sampling = nbragg.Sampling(water_um=0.3)

result = nbragg.simulate(crystal, beam, detector, sampling)
noise = result.noise(seed=42, adc=40)

result.save(folder / "mosaic_noise.img", save_as="counts", seed=42, pedestal=40)
print(f"mean {result.statistics.mean:.3f} photons expected, {noise.pixels.mean() - 40:.3f} counted")
print(f"{noise.overloads} overloaded pixels")
