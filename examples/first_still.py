"""A first image: crystal, beam, detector; the strongest pixel; a PNG."""

import sys
from pathlib import Path

import nbragg

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")

crystal = nbragg.Crystal(
    cell=(100, 100, 100, 90, 90, 90),  # angstrom, degrees
    N=(5, 5, 5),  # unit cells along a, b, c
    misset_deg=(10, 20, 30),
    structure_factors=nbragg.StructureFactors.constant(100),
)
beam = nbragg.Beam(wavelength_A=6.2)
detector = nbragg.Detector(distance_mm=100, pixel_mm=0.1, fpixels=512, spixels=512)

result = nbragg.simulate(crystal, beam, detector)

slow, fast = divmod(int(result.image.argmax()), detector.fpixels)
print(f"strongest pixel: fast {fast}, slow {slow}, {result.image.max():.4g} photons")
print(f"mean {result.statistics.mean:.4g}, rmsd {result.statistics.rmsd:.4g}")

result.save(folder / "first_still.png")
