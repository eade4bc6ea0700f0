"""One still of a lysozyme-sized nanocrystal: ``python -m nbragg.demo [FOLDER]``."""

from __future__ import annotations

import sys
from pathlib import Path

import nbragg
from nbragg.datasets import LYSOZYME_CELL, lysozyme
from nbragg.io import save_image

__all__ = ["main"]

_ADC = 40.0
_SEED = 1


def main(arguments: list[str] | None = None) -> int:
    """Render the demonstration image into a folder (default ``demo``) and say what and where it is."""
    words = sys.argv[1:] if arguments is None else arguments
    if len(words) > 1 or (words and words[0].startswith("-")):
        print("usage: python -m nbragg.demo [FOLDER]", file=sys.stderr)
        return 2
    folder = Path(words[0] if words else "demo")

    crystal = nbragg.Crystal(
        cell=LYSOZYME_CELL,
        N=(10, 10, 20),
        misset_deg=(12.0, 34.0, 56.0),
        mosaic_spread_deg=0.8,
        mosaic_domains=40,
        structure_factors=lysozyme(d_min_A=2.2),
    )
    beam = nbragg.Beam(wavelength_A=1.3, flux=4e12, exposure_s=1.0, beamsize_mm=2e-4, polarization=0.95)
    detector = nbragg.Detector(distance_mm=120.0, pixel_mm=0.1, fpixels=1000, spixels=1000)
    sampling = nbragg.Sampling(water_um=0.15)

    print("A still of a nanocrystal, 0.08 um wide, in the 0.2 um focus of a pulse of 4e12 photons.")
    print("Structure factors: random amplitudes after Wilson's statistics in the cell of lysozyme (P1),")
    print("not a measurement.")
    setup = nbragg.Setup(crystal, beam, detector, sampling, physics="exact")
    result = nbragg.simulate(setup)
    noise = result.noise(_SEED, _ADC)
    statistics = result.statistics
    print(
        f"{detector.fpixels} x {detector.spixels} pixels in {result.elapsed:.2f} s; "
        f"strongest {statistics.max:.0f} photons, mean {statistics.mean:.2f}"
    )

    folder.mkdir(parents=True, exist_ok=True)
    result.save(folder / "demo.bin")
    result.save(folder / "demo.img", save_as="counts", seed=_SEED, pedestal=_ADC)
    save_image(folder / "demo.png", noise.pixels, black=_ADC)
    print(f"  {folder / 'demo.png'}  the picture")
    print(f"  {folder / 'demo.img'}  SMV with counting noise, for DIALS, XDS, ADXV")
    print(f"  {folder / 'demo.bin'}  photons expected, float32 (slow, fast)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
