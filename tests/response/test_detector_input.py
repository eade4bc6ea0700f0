"""What `detect` refuses, and what it says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nbragg import DetectorResponse, GainStage, detect
from nbragg.base.errors import InputError

IMAGE = np.full((4, 6), 2.0)
PANELS = [IMAGE, np.full((3, 5), 2.0)]
PLAIN = DetectorResponse()
COUNTER = DetectorResponse(kind="counting", dead_time_ns=100)
STAGES = [GainStage(gain_adu_per_keV=1, pedestal_adu=0, readout_adu=0)]


def changed(image: Any, place: tuple[int, ...], value: float) -> Any:
    copy = np.array(image)
    copy[place] = value
    return copy


def refused(match: str, photons: Any = IMAGE, response: Any = PLAIN, seed: Any = 1, **given: Any) -> None:
    with pytest.raises(InputError, match=match):
        detect(photons, response, seed, **given)


@pytest.mark.parametrize("value", [-1.0, -2e-5, np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_photons_that_are_no_numbers(value: float, dtype: Any) -> None:
    """The message names the pixel, the first of them."""
    image = changed(changed(IMAGE, (2, 3), value), (3, 1), value).astype(dtype)
    refused("photons are expected at slow 2, fast 3: a finite number of at least 0", image)
    refused("expected at panel 1, slow 2, fast 3", [IMAGE, image])
    refused("expected at panel 1, slow 2, fast 3", np.stack([IMAGE, image]))


def test_float_noise_counts_as_nothing() -> None:
    """Down to -1e-6 of the largest pixel, on whichever panel."""
    noise = changed(np.zeros((2, 2)), (0, 0), -1.9e-6)
    found = detect([IMAGE, noise], DetectorResponse(adc=0), 1)
    assert not found.pixels[1].any()
    refused("-1.9e-06 photons", [0.1 * IMAGE, noise])
    refused("-1.9e-06 photons", noise)


def test_what_lies_in_a_gap_is_not_looked_at() -> None:
    image = changed(IMAGE, (2, 3), np.nan)
    sensor = changed(np.ones((4, 6), bool), (2, 3), False)
    assert detect(image, DetectorResponse(adc=0), 1, masks=sensor).pixels[2, 3] == 0
    refused("nan photons", image, masks=~sensor)


@pytest.mark.parametrize(
    "photons",
    [np.zeros(5), np.zeros((2, 2, 2, 2)), np.zeros((0, 4)), [], 3.0, "photons", [[1.0, 2.0], [3.0]], None],
)
def test_shapes(photons: Any) -> None:
    refused("photons", photons)


def test_complex_photons() -> None:
    refused("must be numbers, not complex128", IMAGE * 1j)


@pytest.mark.parametrize("seed", [2**64, -(2**63) - 1, 1.5, "one", None, True])
def test_seeds(seed: Any) -> None:
    refused("seed must be a whole number from -9223372036854775808 to 18446744073709551615", seed=seed)


@pytest.mark.parametrize("image", [-1, 2**56, 0.5])
def test_image_numbers(image: Any) -> None:
    refused("image must be a whole number from 0", image=image)


def test_what_the_response_needs() -> None:
    refused("give exposure_s", response=COUNTER)
    refused("exposure_s must be a finite number above 0", response=COUNTER, exposure_s=0)
    refused("shorter than dead_time_ns = 100: give pulsed=1", response=COUNTER, exposure_s=1e-8)
    for name, response in (
        ("gain_per_keV", DetectorResponse(gain_per_keV=True)),
        ("gain_stages", DetectorResponse(gain_stages=STAGES)),
        ("fano", DetectorResponse(fano=0.1)),
    ):
        refused(f"{name} needs the energy of a photon: give energy_eV", response=response)
        refused("energy_eV must be a finite number above 0", response=response, energy_eV=-1)
    refused("give pixel_um", response=DetectorResponse(psf="gauss"))
    refused("pixel_um must be", response=DetectorResponse(psf="gauss"), pixel_um=0)
    refused("whole pulses for each frame", response=DetectorResponse(kind="counting", pulsed=10, frames=3))
    refused("at most 65536 can be summed", response=DetectorResponse(kind="counting", frames=65537))
    refused("response must be a DetectorResponse, not a str", response="eiger")


@pytest.mark.parametrize(
    "given",
    [
        {"masks": [None]}, {"rois": [None, None, None]}, {"pixel_um": [75]}, {"masks": 3},
        {"rois": (0, 1, 0, 1)},
    ],
)  # fmt: skip
def test_one_for_each_panel(given: dict[str, Any]) -> None:
    name = next(iter(given))
    refused(f"{name}: one for each of 2 panels was expected", PANELS, **given)


@pytest.mark.parametrize(
    "roi", [(0, 6, 0, 1), (0, 1, 0, 4), (2, 1, 0, 1), (-1, 1, 0, 1), (0, 1, 0), 3, "0123", (0, 1, 0, None)]
)
def test_rois(roi: Any) -> None:
    refused(r"does not fit an image of 6 x 4 pixels \(fast x slow\)", rois=roi)


def test_masks() -> None:
    refused(r"of shape \(4, 6\), not bool \(4, 5\)", masks=np.ones((4, 5), bool))
    refused("of bool or whole numbers", masks=np.ones((4, 6)))


def test_maps_of_dead_pixels() -> None:
    """One panel, equal panels, or all pixels one after the other."""
    dark = DetectorResponse(adc=7, dead_map=np.ones((4, 6), bool))
    assert (detect(IMAGE, dark, 1).pixels == 7).all()
    stack = dark.replace(dead_map=np.stack([np.ones((4, 6)), np.zeros((4, 6))]).astype(bool))
    found = detect([IMAGE + 100, IMAGE + 100], stack, 1).pixels
    assert (found[0] == 7).all() and (found[1] > 20).all()
    row = dark.replace(dead_map=np.arange(39) == 24)
    found = detect([IMAGE + 100, PANELS[1] + 100], row, 1).pixels
    assert found[1][0, 0] == 7 and (found[0] > 20).all() and (found[1] == 7).sum() == 1
    refused(r"dead_map of shape \(4, 6\) does not fit", PANELS, dark)
    refused(r"dead_map of shape \(4, 6\) does not fit", IMAGE.T, dark)
    refused(r"dead_map of shape \(39,\) does not fit", IMAGE, row)


def test_devices_and_threads() -> None:
    refused("device 'gpu' is not known", device="gpu")
    refused("threads = 0", threads=0)
