"""Results as detectors write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nbragg
from nbragg import DetectorResponse, InputError
from nbragg.io.images import read_image
from nbragg.response.detect import detect

SETUP = nbragg.from_cli(
    "-cell 50 60 70 -misset 3 5 7 -oversample 1 -default_F 100 -detpixels_f 24 -detpixels_s 20 -N 3 "
    "-fluence 1e29 -exposure 0.01 -physics exact"
)
CCD = DetectorResponse(
    psf="fiber", psf_fwhm_um=90, gain=0.3, gain_per_keV=True, readout=2, fano=0.1, calibration=0.02
)
RESULT = nbragg.simulate(SETUP.replace(response=CCD))
WRONG: Any = "eiger"
CONDITIONS: dict[str, Any] = {
    "pixel_um": (100.0, 100.0),
    "energy_eV": SETUP.beam.energy_eV,
    "exposure_s": 0.01,
}


def test_it_is_detect_of_the_image() -> None:
    """With pixels, energy and exposure of the set-up."""
    found = RESULT.detect(3, image=5)
    expected = detect(RESULT.image, CCD, 3, image=5, **CONDITIONS)
    assert (found.pixels == expected.pixels).all() and found.pixels.shape == RESULT.image.shape
    assert (found.overloads, found.underloads) == (expected.overloads, expected.underloads)
    counter = DetectorResponse(kind="counting", dead_time_ns=1e5)
    other = RESULT.detect(3, response=counter)
    assert (other.pixels == detect(RESULT.image, counter, 3, **CONDITIONS).pixels).all()
    assert not (RESULT.detect(3).pixels == found.pixels).all()
    pixels, known = RESULT.counts(3, image=5)
    assert (pixels.pixels == found.pixels).all()
    assert (known.offset, known.saturation) == (40.0, 65535.0)
    assert known.scale == pytest.approx(0.3e-3 * SETUP.beam.energy_eV)


def test_regions_and_masks() -> None:
    """A roi has what the whole image has there, as far as the same light falls into it."""
    counter = DetectorResponse(kind="counting", signed=True)
    setup = SETUP.replace(response=counter)
    whole = nbragg.simulate(setup).detect(1).pixels
    mask = np.ones((20, 24), int)
    mask[3:5] = 0
    masked = nbragg.simulate(setup.replace(detector=setup.detector.replace(mask=mask))).detect(1).pixels
    assert (masked[mask == 1] == whole[mask == 1]).all() and (masked[mask == 0] == -1).all()
    part = nbragg.simulate(setup.replace(roi=(4, 17, 2, 11))).detect(1).pixels
    assert (part[2:12, 4:18] == whole[2:12, 4:18]).all()
    part[2:12, 4:18] = -1
    assert (part == -1).all()


def test_gain_stages() -> None:
    response = DetectorResponse.preset("jungfrau")
    found = RESULT.detect(1, response=response)
    assert found.pixels.dtype == np.float32 and found.gain_stage.shape == RESULT.image.shape
    energies = RESULT.image * SETUP.beam.energy_eV / 1000
    assert (found.gain_stage[energies < 250] == 0).all() and (found.gain_stage[energies > 400] == 1).all()
    assert abs(found.pixels - RESULT.image).max() < 6 * np.sqrt(RESULT.image.max())


@pytest.mark.parametrize("sizes", [((8, 10), (8, 10)), ((8, 10), (6, 12))])
def test_several_panels(sizes: tuple[tuple[int, int], ...], tmp_path: Path) -> None:
    panels = [
        nbragg.Panel(
            origin_mm=(50, 1, -1 + 2 * i),
            fast=(0, 0, 1),
            slow=(0, -1, 0),
            fpixels=fast,
            spixels=slow,
            pixel_mm=(0.1, 0.1 + 0.05 * i),
        )
        for i, (slow, fast) in enumerate(sizes)
    ]
    setup = SETUP.replace(detector=nbragg.Detector(panels=panels), response=CCD)
    result = nbragg.simulate(setup)
    found = result.detect(2)
    edges = [(100.0, 100.0), (100.0, 150.0)]
    expected = detect(list(result.panels), CCD, 2, **CONDITIONS | {"pixel_um": edges})
    assert found.pixels.shape == result.image.shape and isinstance(found.pixels, np.ndarray)
    assert (found.pixels.ravel() == np.concatenate([p.ravel() for p in expected.pixels])).all()
    result.save(tmp_path / "a.npy", save_as="counts", seed=2)
    assert (np.load(tmp_path / "a.npy") == found.pixels).all()


def test_files(tmp_path: Path) -> None:
    RESULT.save(tmp_path / "a.cbf", save_as="counts", seed=3, image=5)
    assert (read_image(tmp_path / "a.cbf").image == RESULT.detect(3, image=5).pixels).all()
    RESULT.save(tmp_path / "a.tif", save_as="counts", seed=3, pedestal=7)
    other = RESULT.detect(3, response=CCD.replace(adc=7)).pixels
    assert (read_image(tmp_path / "a.tif").image == other).all()
    found = read_image(tmp_path / "a.cbf").metadata
    assert found["recipe"]["response"]["psf"] == "fiber"
    photons = read_image(tmp_path / "a.cbf").photons
    assert photons.sum() == pytest.approx(RESULT.image.sum(), rel=0.1)


def test_without_a_response_counts_are_those_of_the_reference(tmp_path: Path) -> None:
    plain = nbragg.simulate(SETUP)
    assert (plain.counts(3)[0].pixels == plain.noise(3, 0, np.int32).pixels).all()
    # and `noise` is, whatever the set-up has
    assert (RESULT.noise(3).pixels == plain.noise(3).pixels).all()
    with pytest.raises(InputError, match="no detector response: give response="):
        plain.detect(1)
    assert plain.detect(1, response=CCD).pixels.shape == plain.image.shape


def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must be a DetectorResponse, not a str"):
        RESULT.detect(1, response=WRONG)
    with pytest.raises(InputError, match=r"counts of uint8: the detector response writes uint16"):
        RESULT.counts(1, dtype=np.uint8)
    counter = nbragg.simulate(SETUP.replace(response=DetectorResponse.preset("pilatus")))
    with pytest.raises(InputError, match=r"smv files hold uint16, not the int32 .*: use .*\.cbf"):
        counter.save(tmp_path / "a.img", save_as="counts", seed=1)
    with pytest.raises(InputError, match=r"has 0\.0 only"):
        counter.counts(1, pedestal=10)
    assert not list(tmp_path.iterdir())


def test_series_are_drawn_by_number(tmp_path: Path) -> None:
    """Images of one seed, in any order and any number, of one fixed pattern."""
    flat = DetectorResponse(calibration=0.2, adc=0)
    series = nbragg.Series(SETUP, [{"response": flat}, {"response": flat, "phi_deg": 0.0}])
    one, other = (nbragg.simulate(setup).detect(7, image=i).pixels for i, setup in enumerate(series))
    assert not (one == other).all()
    files = nbragg.save_series(
        nbragg.Simulator(SETUP).render_many(series),
        tmp_path / "a_#.npy",
        save_as="counts",
        seed=7,
        first_frame=2,
    )
    expected = nbragg.simulate(series[1]).detect(7, image=2).pixels
    assert (np.load(files[1]) == expected).all()
