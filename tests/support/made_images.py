"""Images with labels of every kind, made of random numbers: quick, and nothing in them is like another."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

import nbragg
from nbragg.dataset.containers.made import Made
from nbragg.io.images.metadata import ImageMetadata
from nbragg.simulation.labels import SPOT, Labels


def metadata(detector: Any = None, **changes: Any) -> ImageMetadata:
    crystal = nbragg.Crystal(
        cell=(70, 80, 90, 90, 90, 90), structure_factors=nbragg.StructureFactors.constant(1)
    )
    if detector is None:
        detector = nbragg.Detector(fpixels=24, spixels=16, distance_mm=100)
    scene = nbragg.build_scene(nbragg.Setup(crystal, detector=detector))
    return dataclasses.replace(ImageMetadata.from_scene(scene), **changes)


_METADATA = metadata()


def labels(image: int, *, crystals: int = 1, label_images: dict[str, Any] | None = None) -> Labels:
    rng = np.random.default_rng(image)
    spots = np.zeros(int(rng.integers(0, 3000)) if crystals else 0, SPOT)
    for name in SPOT.names or ():
        spots[name] = rng.normal(0, 50, len(spots))
    return Labels(
        image=image,
        parameters={
            "beam.wavelength_A": float(rng.normal()),
            "crystal.variant": f"form {'x' * (image % 5)} Å",
            "count": image * 10**12,
            "blank": image % 2 == 0,
            "only in some" if image % 3 else "mixed": image,
            "a/b": [0.1, image],
        },
        space_group="P 43 21 2" if crystals else "",
        cell=rng.normal(size=(crystals, 6)),
        U=rng.normal(size=(crystals, 3, 3)),
        B=rng.normal(size=(crystals, 3, 3)),
        A=rng.normal(size=(crystals, 3, 3)),
        weight=rng.random(crystals),
        wavelength_A=float(rng.normal(1, 0.1)),
        spectrum=rng.random((int(rng.integers(1, 8)), 2)),
        reflections=spots,
        images=label_images or {},
    )


def made(
    image: int,
    *,
    dtype: Any = np.int32,
    label_images: bool = True,
    mask: bool = True,
    known: ImageMetadata = _METADATA,
) -> Made:
    """Image number ``image``: 0 to 2 crystals, one of two masks."""
    rng = np.random.default_rng(1000 + image)
    shape = known.image_shape
    pixels = rng.poisson(5, shape).astype(dtype)
    images = {
        "bragg": rng.random(shape, dtype=np.float32),
        "reflection": rng.integers(-1, 9, shape, dtype=np.int32),
        "spots": rng.integers(0, 2, shape, dtype=np.uint8),
    }
    which = labels(image, crystals=image % 3, label_images=images if label_images else None)
    good = np.random.default_rng(image % 2).random(shape) > 0.1
    return Made(pixels, which, known, good if mask else None)


def assert_same(found: Labels, wanted: Labels) -> None:
    """Every label, bit for bit and of the same type."""
    assert list(found) == list(wanted) == list(Labels.NAMES)
    for name, value in wanted.items():
        if name == "images":
            assert found[name].keys() == value.keys()
            pairs = [(found[name][one], value[one]) for one in value]
        else:
            pairs = [(found[name], value)]
        for one, other in pairs:
            assert type(one) is type(other), name
            if isinstance(other, np.ndarray):
                assert one.dtype == other.dtype and one.shape == other.shape, name
                assert one.tobytes() == other.tobytes(), name
            else:
                assert one == other, name
