"""The whole chain: pixel by pixel against the equations, and the same bits however it is computed."""

from __future__ import annotations

from typing import Any

import detector_oracle as oracle
import numpy as np
import pytest
from detectors import GIVEN, RESPONSES, SHAPE, mask, photons

import nbragg
from nbragg import DetectorImage, DetectorResponse, _engine, detect
from nbragg.response.expected.psf import spread
from nbragg.response.parameters import Conditions, chain_record

ROI = (3, 50, 2, 34)
SEED, IMAGE = 2**40 + 9, 2**33 + 5
LEVELS = [name for name, available in _engine.isa_levels() if available]


def same(a: DetectorImage, b: DetectorImage) -> bool:
    """All of it, bit for bit."""

    def arrays(value: Any) -> list[Any]:
        return [] if value is None else list(value) if isinstance(value, tuple) else [value]

    pairs = [
        *zip(arrays(a.pixels), arrays(b.pixels), strict=True),
        *zip(arrays(a.gain_stage), arrays(b.gain_stage), strict=True),
    ]
    counts = (a.overloads, a.underloads) == (b.overloads, b.underloads)
    return counts and all(x.dtype == y.dtype and x.tobytes() == y.tobytes() for x, y in pairs)


@pytest.mark.parametrize("name", RESPONSES)
def test_chain_is_that_of_the_equations(name: str) -> None:
    """Every pixel, stage and count, with gaps, roi and dead pixels."""
    response, image, sensor = RESPONSES[name], photons(), mask()
    found = detect(image, response, SEED, image=IMAGE, masks=sensor, rois=ROI, **GIVEN)
    hidden = np.ones(SHAPE, bool)
    hidden[ROI[2] : ROI[3] + 1, ROI[0] : ROI[1] + 1] = False

    def spreading(light: Any, stage: str) -> Any:
        return spread(light, response, GIVEN["pixel_um"], stage=stage)

    chain = oracle.Detector(response, SEED, IMAGE, GIVEN["exposure_s"], GIVEN["energy_eV"], spread=spreading)
    pixels, overloads, underloads, stages = chain(image, ~sensor, hidden)
    assert found.pixels.dtype == pixels.dtype == response.pixel_dtype
    if pixels.dtype.kind == "f":
        assert np.allclose(found.pixels, pixels, rtol=2e-7, atol=1e-6)
    else:
        assert np.array_equal(found.pixels, pixels)
    assert (found.overloads, found.underloads) == (overloads, underloads)
    assert (found.gain_stage is None) == (stages is None)
    assert stages is None or np.array_equal(found.gain_stage, stages)


@pytest.mark.parametrize("name", RESPONSES)
def test_instruction_sets(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    for level in LEVELS:
        monkeypatch.setenv("NBRAGG_ISA", level)
        drawn.append(detect(photons(), RESPONSES[name], SEED, **GIVEN))
    assert all(same(drawn[0], other) for other in drawn[1:])


@pytest.mark.parametrize("name", ["clipped", "three stages", "retriggered, corrected"])
def test_threads(name: str) -> None:
    """An image of which each of seven threads gets a part."""
    image = np.tile(photons(), (32, 1))
    drawn = [detect(image, RESPONSES[name], SEED, threads=n, **GIVEN) for n in (1, 2, 7)]
    assert all(same(drawn[0], other) for other in drawn[1:])


@pytest.mark.parametrize("name", ["photons", "every step", "three stages", "retriggered, corrected"])
def test_division_into_panels(name: str) -> None:
    """Pixels are numbered over all panels: any cut of the image is the image, and so is a stack."""
    response = RESPONSES[name].replace(dead_map=None)
    image = photons()
    whole = detect(image, response, SEED, **GIVEN)
    for rows in ([1], [10, 11, 36], [5, 20]):
        cut = detect(np.split(image, rows), response, SEED, **GIVEN)
        assert isinstance(cut.pixels, tuple)
        assert np.array_equal(np.concatenate(cut.pixels), whole.pixels)
        assert cut.overloads == whole.overloads
    stack = detect(image[:36].reshape(3, 12, SHAPE[1]), response, SEED, **GIVEN)
    assert stack.pixels.shape == (3, 12, SHAPE[1])
    assert np.array_equal(stack.pixels.reshape(36, -1), whole.pixels[:36])


def test_many_pixels_at_once_or_one_by_one() -> None:
    """Vectors of pixels, wherever they begin and end."""
    image = photons().reshape(1, -1)
    whole = detect(image, DetectorResponse(readout=3), SEED).pixels
    parts = np.split(image, np.cumsum([1, 2, 3, 4, 5, 7, 8, 511, 512, 513]), axis=1)
    cut = detect(parts, DetectorResponse(readout=3), SEED)
    assert np.array_equal(np.concatenate(cut.pixels, axis=1), whole)


@pytest.mark.parametrize("name", ["every step", "fibre", "retriggered"])
def test_roi_is_a_crop(name: str) -> None:
    """Light from outside is there, and nothing else changes."""
    image, response = photons(), RESPONSES[name]
    whole = detect(image, response, SEED, **GIVEN)
    part = detect(image, response, SEED, rois=ROI, **GIVEN)
    fmin, fmax, smin, smax = ROI
    inside = (slice(smin, smax + 1), slice(fmin, fmax + 1))
    assert np.array_equal(part.pixels[inside], whole.pixels[inside])
    outside = np.ones(SHAPE, bool)
    outside[inside] = False
    assert (part.pixels[outside] == response.resolved_gap_value).all()


def test_order_of_images_and_types() -> None:
    image = photons().astype(np.float32)
    forward = [detect(image, RESPONSES["every step"], 5, image=i, **GIVEN) for i in range(4)]
    backward = [detect(image, RESPONSES["every step"], 5, image=i, **GIVEN) for i in reversed(range(4))]
    assert all(same(a, b) for a, b in zip(forward, reversed(backward), strict=True))
    assert not np.array_equal(forward[0].pixels, forward[1].pixels)
    again = detect(image.astype(float), RESPONSES["every step"], 5, image=2, **GIVEN)
    assert same(again, forward[2])
    strided = np.repeat(np.repeat(image, 2, 0), 2, 1)[::2, ::2]
    assert same(detect(strided, RESPONSES["every step"], 5, image=2, **GIVEN), again)
    assert same(detect(image.tolist(), RESPONSES["every step"], 5, image=2, **GIVEN), again)


def test_negative_seeds_count_from_the_top() -> None:
    image = photons()
    assert same(detect(image, DetectorResponse(), -1), detect(image, DetectorResponse(), 2**64 - 1))


@pytest.mark.parametrize(
    ("fields", "dtype"),
    [
        ({"bits": 8}, np.uint8), ({"bits": 12}, np.uint16), ({"bits": 20}, np.uint32),
        ({"bits": 32}, np.uint32), ({"bits": 8, "signed": True}, np.int16),
        ({"bits": 32, "signed": True}, np.int32), ({"bits": 0}, np.float32),
    ],
)  # fmt: skip
def test_smallest_type(fields: dict[str, Any], dtype: Any) -> None:
    assert detect(photons(), DetectorResponse(**fields), 1).pixels.dtype == dtype


def test_full_range_of_32_bits() -> None:
    """Counts that no 32-bit float holds."""
    image = np.full((4, 4), 4.2e9)
    image[0] = 1e11
    found = detect(image, DetectorResponse(kind="counting", bits=32), 1)
    assert found.overloads == 4 and (found.pixels[0] == 2**32 - 1).all()
    assert abs(found.pixels[1:].astype(float) - 4.2e9).max() < 6 * np.sqrt(4.2e9)
    signed = detect(image, DetectorResponse(bits=32, signed=True, adc=-3e9), 1)
    assert (signed.pixels[0] == 2**31 - 1).all() and abs(signed.pixels[1:] - 1.2e9).max() < 6 * np.sqrt(4.2e9)


def record(name: str) -> Any:
    given = Conditions(SEED, IMAGE, GIVEN["exposure_s"], GIVEN["energy_eV"])
    return chain_record(RESPONSES[name], given)


def test_no_field_is_forgotten() -> None:
    """Each field that C reads is set by some response."""
    records = [record(name)[0] for name in RESPONSES]
    unset = [f for f in _engine.RESPONSE_DTYPE.names or () if not any(np.any(r[f]) for r in records)]
    assert unset == []


def test_job() -> None:
    """It stops when it is told to, and refuses arrays that do not fit."""
    image, target = photons(), np.zeros(SHAPE, np.uint16)

    def job(source: Any = image, to: Any = target, marks: Any = None) -> _engine.ResponseJob:
        parts = sum(_engine.CHAIN_PARTS.values())
        return _engine.ResponseJob(record("photons"), source, to, parts, 0, 1, LEVELS[0], marks)

    cancelled = job()
    cancelled.cancel()
    assert cancelled.run() == "cancelled" and not target.any()
    assert job().run() == "ok" and target.any()
    for wrong in (
        {"to": target[1:]}, {"to": target.astype(np.int64)}, {"source": image.astype(int)},
        {"source": image.T}, {"marks": image}, {"marks": np.zeros(3, np.uint8)}, {"to": target[::-1]},
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"\w"):
            job(**wrong)


def test_public_names() -> None:
    assert nbragg.detect is detect and nbragg.DetectorImage is DetectorImage
