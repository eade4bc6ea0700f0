"""Cotangents, directions, residuals and weights that cannot be meant: refused in words, before any work."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from parts import setup_of, simulator_of

import nbragg
from nbragg import Beam, Crystal, Detector, StructureFactors
from nbragg.base import memory
from nbragg.base.errors import InputError, MemoryLimitError

NAMES = ["crystal.rotation_deg[0]", "detector.distance_mm"]
SHAPE = (20, 24)


def linear(names: Any = NAMES, **detector: Any) -> Any:
    """20 x 24 pixels, 0 masked or as said."""
    crystal = Crystal(cell=(40, 50, 60, 80, 95, 100), N=5, structure_factors=StructureFactors.constant(30.0))
    fields: dict[str, Any] = {"fpixels": SHAPE[1], "spixels": SHAPE[0], "distance_mm": 60.0} | detector
    return simulator_of(crystal, Beam(), Detector(**fields)).linearize(names)


def wrong_images() -> dict[str, Any]:
    nan, infinite = np.ones(SHAPE), np.ones(SHAPE)
    nan[3, 5], infinite[0, 0] = np.nan, -np.inf
    return {
        "transposed": np.ones(SHAPE[::-1]),
        "flat": np.ones(SHAPE[0] * SHAPE[1]),
        "a stack": np.ones((2, *SHAPE)),
        "one number": 1.0,
        "empty": np.ones((0, 0)),
        "complex": np.ones(SHAPE, complex),
        "words": np.full(SHAPE, "1"),
        "objects": np.full(SHAPE, None),
        "ragged": [[1.0, 2.0], [3.0]],
        "none": None,
        "nan": nan,
        "infinite": infinite,
    }


@pytest.mark.parametrize("name", wrong_images())
def test_images(name: str) -> None:
    """The name of the argument is said, and where the number is that is not finite."""
    image = wrong_images()[name]
    said = {"nan": "fast 5, slow 3", "infinite": "fast 0, slow 0"}.get(name, "")
    tangents = linear()
    with pytest.raises(InputError, match=f"cotangent.*{said}"):
        tangents.vjp(image)
    with pytest.raises(InputError, match=f"cotangent.*{said}"):
        tangents.vjp(image, scene=True)
    with pytest.raises(InputError, match=f"residual.*{said}"):
        tangents.gauss_newton(residual=image, weights=np.ones(SHAPE))
    if image is not None:  # which stands for weights of 1
        with pytest.raises(InputError, match=f"weights.*{said}"):
            tangents.gauss_newton(residual=np.ones(SHAPE), weights=image)


def test_a_masked_pixel_has_to_be_finite_too() -> None:
    """One rule for all pixels: who masks with NaN is told to give 0."""
    mask = np.ones(SHAPE, np.uint8)
    mask[3, 5] = 0
    with pytest.raises(InputError, match="give 0 where a pixel does not count"):
        linear(mask=mask).vjp(wrong_images()["nan"])


def test_negative_weights() -> None:
    weights = np.ones(SHAPE)
    weights[2, 7] = -1e-9
    with pytest.raises(InputError, match="fast 7, slow 2"):
        linear().gauss_newton(residual=np.ones(SHAPE), weights=weights)


@pytest.mark.parametrize(
    ("direction", "said"),
    [
        ([1.0], "shape"),
        ([1.0, 2.0, 3.0], "shape"),
        (np.ones((3, 2)), "shape"),
        (np.ones((2, 0)), "shape"),
        (np.ones((2, 1, 1)), "shape"),
        (1.0, "shape"),
        ([1.0, np.nan], "finite"),
        ([1.0, np.inf], "finite"),
        ({"detector.distance_mm": np.nan}, "finite"),
        ({"detector.distance": 1.0}, "detector.distance_mm"),
        ({"crystal.rotation_deg[1]": 1.0}, "not among"),
        ({"detector.distance_mm": "far"}, "distance_mm"),
        ("detector.distance_mm", "real numbers"),
        ([1j, 1.0], "real numbers"),
    ],
)
def test_directions(direction: Any, said: str) -> None:
    """Shapes, numbers and names that do not fit the two parameters."""
    with pytest.raises(InputError, match=said):
        linear().jvp(direction)


def test_whole_numbers_and_views_are_welcome() -> None:
    """What has the right numbers is taken, whatever its type and order in memory."""
    tangents = linear()
    u = np.arange(SHAPE[0] * SHAPE[1]).reshape(SHAPE) % 7
    expected = tangents.vjp(u.astype(float))
    for same in (
        u,
        u.astype(np.float32),
        np.asfortranarray(u),
        u.tolist(),
        np.stack([u, u], axis=-1)[..., 0],
    ):
        assert tangents.vjp(same) == expected
    v = np.array([1, 2])
    assert np.array_equal(tangents.jvp(v), tangents.jvp([1.0, 2.0]))
    assert np.array_equal(
        tangents.jvp(v), tangents.jvp({"detector.distance_mm": 2, "crystal.rotation_deg[0]": 1})
    )


def test_what_is_given_is_not_changed() -> None:
    """Read-only arrays are taken and nothing is written to."""
    tangents = linear()
    u, v, w = np.ones(SHAPE), np.ones((2, 3)), np.full(SHAPE, 2.0)
    copies = u.copy(), v.copy(), w.copy()
    for array in (u, v, w):
        array.setflags(write=False)
    tangents.vjp(u)
    tangents.jvp(v)
    tangents.gauss_newton(residual=u, weights=w)
    for array, copy in zip((u, v, w), copies, strict=True):
        assert np.array_equal(array, copy)


def test_sizes_beyond_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is allocated that does not fit; the message says what needs less."""
    crystal = Crystal(cell=(40, 50, 60, 80, 95, 100), N=5, structure_factors=StructureFactors.constant(30.0))
    detector = Detector(fpixels=2000, spixels=2000, distance_mm=60.0)
    tangents = nbragg.Simulator(setup_of(crystal, Beam(), detector)).linearize(NAMES)
    monkeypatch.setattr(memory, "available_bytes", lambda: 40 * 2**20)
    with pytest.raises(MemoryLimitError, match="gauss_newton"):
        tangents.jacobian()
    with pytest.raises(MemoryLimitError, match="directions"):
        tangents.jvp(np.ones((2, 9)))


@pytest.mark.parametrize(
    "out",
    [
        np.zeros((2, *SHAPE), np.float16),
        np.zeros((2, *SHAPE), int),
        np.zeros((3, *SHAPE)),
        np.zeros((2, *SHAPE[::-1])),
        np.zeros((2, *SHAPE), order="F"),
        np.zeros((4, *SHAPE))[::2],
        [[0.0]],
    ],
    ids=["float16", "whole numbers", "too many", "transposed", "Fortran order", "a view", "a list"],
)
def test_outputs(out: Any) -> None:
    """An output that cannot be written into as it is."""
    with pytest.raises(InputError, match="out must be"):
        linear().jacobian(out=out)


def test_an_output_that_is_read_only() -> None:
    out = np.zeros((2, *SHAPE))
    out.setflags(write=False)
    with pytest.raises(InputError, match="writable"):
        linear().jacobian(out=out)
    with pytest.raises(InputError, match="float32"):
        linear().jacobian(dtype=np.float16)
