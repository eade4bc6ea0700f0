"""What can be done with a rendered image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nbragg
from nbragg import InputError, Result
from nbragg.io.images import read_image
from nbragg.io.recipe import to_dict

pytestmark = pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning")


@pytest.fixture(scope="module")
def result() -> Result:
    line = "-cell 70 80 90 75 85 95 -default_F 100 -N 5 -detpixels_f 40 -detpixels_s 30 -fluence 1e27"
    return nbragg.simulate(nbragg.from_cli(line))


@pytest.mark.parametrize(
    "name", ["a.img", "a.bin", "a.pgm", "a.png", "a.tif", "a.cbf", "a.nxs", "a.h5", "a.npy"]
)
def test_save_by_suffix(result: Result, name: str, folder: Path) -> None:
    if name.endswith((".cbf", ".nxs", ".h5")):
        pytest.importorskip("fabio" if name.endswith(".cbf") else "h5py")
    result.save(name)
    assert [p.name for p in folder.iterdir()] == [name]
    if name.endswith((".pgm", ".png")):
        return
    image = read_image(name, shape=(30, 40)) if name == "a.bin" else read_image(name)
    assert image.image.shape == (30, 40)
    if name.endswith((".tif", ".nxs", ".npy", ".bin")):
        assert np.array_equal(image.image, result.image)
    if name == "a.tif":
        assert image.metadata["recipe"] == to_dict(result.setup)


def test_save_options(result: Result, folder: Path) -> None:
    result.save("without-suffix", format="npy")
    assert np.array_equal(np.load("without-suffix"), result.image)
    result.save(folder / "b.tif", dtype="uint16", scale=0.001, clip=True, recipe=None)
    assert read_image("b.tif").image.dtype == np.uint16
    assert "recipe" not in read_image("b.tif").metadata
    nbragg.render(result.scene).save("scene.tif")  # from a Scene alone there is no recipe
    with pytest.raises(InputError, match="suffix"):
        result.save("x.jpeg")


def test_replace(result: Result) -> None:
    brighter = result.replace(image=result.image + np.float32(5))
    assert brighter.statistics.mean == pytest.approx(result.statistics.mean + 5, rel=1e-6)
    assert brighter.scene is result.scene and brighter.setup == result.setup
    assert brighter.noise(3).pixels.mean() > 40
    with pytest.raises(InputError, match="shape"):
        result.replace(image=np.zeros((3, 3)))


def test_noise_repeats_by_seed(result: Result) -> None:
    one = result.noise(seed=3)
    assert np.array_equal(one.pixels, result.noise(seed=3).pixels)
    assert not np.array_equal(one.pixels, result.noise(seed=4).pixels)
    expected = nbragg.noise_image(result.image, result.scene.panel.roi, 3, 7.0).pixels
    assert np.array_equal(result.noise(3, adc=7.0).pixels, expected)


def test_setup_makes_the_same_image(result: Result) -> None:
    assert result.setup is not None
    assert np.array_equal(nbragg.simulate(result.setup).image, result.image)
    assert nbragg.render(result.scene).setup is None


def test_trace(result: Result) -> None:
    """The samples of a pixel add up to it."""
    assert result.trace(12, 17).pixel == pytest.approx(float(result.image[12, 17]), rel=1e-6)


def test_repr_and_notebook_picture(result: Result) -> None:
    assert repr(result).startswith("Result(30 x 40 pixels")
    assert result._repr_png_().startswith(b"\x89PNG")


def test_plot(result: Result) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    ax = result.plot()
    assert ax.get_xlabel() == "fast (pixels)"
    drawn: Any = ax.images[0]
    assert np.array_equal(drawn.get_array(), result.image)
    assert 0 < drawn.norm.vmax <= result.image.max()
    _, mine = pyplot.subplots()
    assert result.plot(mine, percentile=90, cmap="viridis", colorbar=False) is mine
    assert len(mine.figure.axes) == 1
    dark = result.replace(image=np.zeros_like(result.image))
    dark.plot(norm=None)
    dark.plot().figure.canvas.draw()
    pyplot.close("all")
    with pytest.raises(InputError, match="percentile"):
        result.plot(percentile=0)


def test_plot_without_matplotlib(result: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(nbragg.NbraggError, match=r"pip install 'nanobragg\[plot\]'"):
        result.plot()
