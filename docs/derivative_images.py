"""Draw the pictures of docs/derivatives.md: ``python docs/derivative_images.py [FOLDER] [--pixels N]``.

One picture for each group of parameters: a corner of a still, and its derivatives.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from numpy.typing import NDArray

import nbragg
from nbragg import datasets

mpl.use("agg")
from matplotlib import pyplot

#: picture -> parameters, with what is written above them
GROUPS: dict[str, dict[str, str]] = {
    "orientation": {f"crystal.rotation_deg[{i}]": f"rotation_deg[{i}]" for i in range(3)},
    "cell": {f"crystal.cell.{name}": f"cell.{name}" for name in ("a", "b", "c", "gamma")},
    "size": {f"crystal.N[{i}]": f"N[{i}]" for i in range(3)},
    "mosaic": {
        "crystal.mosaic_spread_deg": "mosaic_spread_deg",
        "crystal.domain_weight[3]": "domain_weight[3]",
    },
    "factors": {"crystal.structure_factors[{h},{k},{l}]": "structure_factors[{h},{k},{l}]"},
    "beam": {
        "beam.wavelength_A": "wavelength_A",
        "beam.dispersion_pct": "dispersion_pct",
        "beam.polarization": "polarization",
        "beam.fluence": "fluence",
    },
    "detector": {
        "detector.distance_mm": "distance_mm",
        "detector.shift_mm[1]": "shift_mm[1]",
        "detector.rotx_deg": "rotx_deg",
        "detector.twotheta_deg": "twotheta_deg",
    },
    "sensor": {"detector.thickness_um": "thickness_um", "detector.attenuation_um": "attenuation_um"},
}

#: edge of the region shown, pixels; how many points of the picture a pixel has
PIXELS, MAGNIFIED = 64, 3

#: fraction of the pixels that lie within the range of colours; the few strongest are cut
WITHIN = 0.99

#: blue, white at 0, red
COLOURS = LinearSegmentedColormap.from_list(
    "derivative", ["#08306b", "#2171b5", "#ffffff", "#cb181d", "#67000d"]
)


def still(pixels: int) -> nbragg.Setup:
    """A corner of a still of a small crystal of the size of lysozyme, off the beam, finely sampled."""
    crystal = nbragg.Crystal(
        cell=datasets.LYSOZYME_CELL,
        N=(6, 6, 12),
        misset_deg=(20, 40, 10),
        mosaic_spread_deg=0.4,
        mosaic_domains=12,
        structure_factors=datasets.lysozyme(3.0),
    )
    beam = nbragg.Beam(
        wavelength_A=1.0, dispersion_pct=0.5, dispersion_steps=3, polarization=0.9, fluence=1e27
    )
    detector = nbragg.Detector(
        distance_mm=120,
        pixel_mm=0.07,
        fpixels=1000,
        spixels=1000,
        thickness_um=450,
        attenuation_um=250,
        thicksteps=3,
    )
    corner = 600
    roi = (corner, corner + pixels - 1, corner, corner + pixels - 1)
    return nbragg.Setup(crystal, beam, detector, nbragg.Sampling(oversample=2, roi=roi))


def signed_root(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """The square root of what there is, with its sign, so that weak spots are seen too."""
    sizes = np.abs(image)
    largest = np.quantile(sizes, WITHIN) or sizes.max() or 1.0
    return np.sign(image) * np.sqrt(sizes / largest)


def draw(image: NDArray[np.float64], derivatives: NDArray[np.float64], titles: list[str]) -> bytes:
    """The image in grey, its derivatives from blue over white, which is 0, to red; a PNG."""
    count, points = 1 + len(derivatives), MAGNIFIED * len(image)
    figure, axes = pyplot.subplots(
        1, count, figsize=(count * (points + 8) / 100, (points + 24) / 100), dpi=100, squeeze=False
    )
    figure.subplots_adjust(0.005, 0.005, 0.995, 1 - 22 / (points + 24), wspace=0.03)
    shown: dict[str, Any] = {"interpolation": "nearest", "aspect": "auto"}
    axes[0, 0].imshow(signed_root(image), cmap="Greys", vmin=0, vmax=1, **shown)
    for place, derivative in zip(axes[0, 1:], derivatives, strict=True):
        place.imshow(signed_root(derivative), cmap=COLOURS, vmin=-1, vmax=1, **shown)
    for place, title in zip(axes[0], ["image", *titles], strict=True):
        place.set_title(title, fontsize=8, pad=3)
        place.set_xticks([])
        place.set_yticks([])
    png = io.BytesIO()
    figure.savefig(png, pil_kwargs={"optimize": True})
    pyplot.close(figure)
    return png.getvalue()


def main(words: list[str] | None = None) -> None:
    """Write ``derivative-GROUP.png`` for each group."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).parent / "images")
    parser.add_argument("--pixels", type=int, default=PIXELS)
    given = parser.parse_args(words)
    setup = still(given.pixels)
    result = nbragg.simulate(setup)
    slow, fast = np.unravel_index(int(result.image.argmax()), result.image.shape)
    strongest = result.trace(slow=int(slow), fast=int(fast)).samples[0]["hkl0"]
    hkl = dict(zip("hkl", map(int, strongest), strict=True))
    xmin, xmax, ymin, ymax = setup.sampling.roi or (0, 0, 0, 0)
    shown = (..., slice(ymin, ymax + 1), slice(xmin, xmax + 1))
    for group, parameters in GROUPS.items():
        linear = nbragg.derivatives(setup, parameters=[name.format(**hkl) for name in parameters])
        titles = [f"by {title.format(**hkl)}" for title in parameters.values()]
        png = draw(linear.image[shown], linear.jacobian()[shown], titles)
        path = given.folder / f"derivative-{group}.png"
        path.write_bytes(png)
        print(f"{path}: {len(png) / 1000:.0f} kB")


if __name__ == "__main__":
    main()
