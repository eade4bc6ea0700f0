"""The PNG writer, read back by Pillow."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from nbragg.base.errors import InputError
from nbragg.io.images import png


def test_pillow_reads_the_same_pixels() -> None:
    image_module = pytest.importorskip("PIL.Image", reason="Pillow is needed to read a PNG back")
    pixels = np.random.default_rng(0).integers(0, 256, (37, 53), dtype=np.uint8)
    with image_module.open(io.BytesIO(png.encode(pixels))) as picture:
        assert picture.mode == "L"
        assert np.array_equal(np.asarray(picture), pixels)


def test_preview_runs_from_white_to_black_in_order() -> None:
    image = np.geomspace(1, 1e6, 1000).reshape(10, 100)
    grey = png.preview(image, percentile=100)
    assert grey.dtype == np.uint8
    assert (np.diff(grey.ravel().astype(int)) <= 0).all()
    assert grey.ravel()[-1] == 0
    assert np.array_equal(png.preview(image, percentile=100, invert=False), 255 - grey)


def test_limits_are_honoured() -> None:
    image = np.array([[0.0, 10.0, 20.0, 30.0]])
    assert png.preview(image, black=10, white=20, invert=False).tolist()[0][::3] == [0, 255]
    assert png.preview(image, black=10, white=20, invert=False)[0, 1] == 0


@pytest.mark.parametrize("image", [np.zeros((4, 4)), np.full((4, 4), np.nan), np.full((4, 4), -3.0)])
def test_image_without_signal_is_blank(image: np.ndarray) -> None:
    assert (png.preview(image) == 255).all()


def test_uniform_image_is_finite() -> None:
    assert (png.preview(np.full((2, 2), 5.0)) == 0).all()


def test_write(tmp_path: Path) -> None:
    png.write(tmp_path / "a.png", np.ones((3, 4)))
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: png.encode(np.zeros((2, 2))), "expected uint8"),
        (lambda: png.encode(np.zeros(4, dtype=np.uint8)), r"\(slow, fast\)"),
        (lambda: png.preview(np.zeros((0, 4))), "at least one pixel"),
        (lambda: png.preview(np.ones((2, 2)), percentile=0), "percentile is 0"),
        (lambda: png.preview(np.ones((2, 2)), black=5, white=5), "white above black"),
    ],
)
def test_bad_input(call: object, named: str) -> None:
    assert callable(call)
    with pytest.raises(InputError, match=named):
        call()
