"""The detector's chain on a GPU, run on the host: the same bits as on the CPU."""

from __future__ import annotations

from typing import Any

import cuda_host as host
import numpy as np
import pytest
from detectors import GIVEN, RESPONSES, mask, photons

from nbragg import DetectorImage, DetectorResponse, detect
from nbragg.base.errors import DeviceError, InputError, MemoryLimitError, NbraggWarning
from nbragg.engine import cuda
from nbragg.engine import queue as queues
from nbragg.response import chain

pytestmark = host.needs_compiler

ROI = (3, 50, 2, 34)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> host.HostRuntime:
    return host.pretend_gpu(monkeypatch)


def equal(a: DetectorImage, b: DetectorImage) -> bool:
    pixels = a.pixels.dtype == b.pixels.dtype and a.pixels.tobytes() == b.pixels.tobytes()
    stages = (a.gain_stage is None) == (b.gain_stage is None)
    stages = stages and (a.gain_stage is None or a.gain_stage.tobytes() == b.gain_stage.tobytes())
    return pixels and stages and (a.overloads, a.underloads) == (b.overloads, b.underloads)


@pytest.mark.parametrize("name", RESPONSES)
def test_bits_are_those_of_the_cpu(name: str, gpu: host.HostRuntime) -> None:
    given = {**GIVEN, "image": 2**33 + 5, "masks": mask(), "rois": ROI}
    found = detect(photons(), RESPONSES[name], 9, device="cuda", **given)
    assert {kernel for kernel, _ in gpu.launches} == {"nb_respond_pixels"}
    assert equal(found, detect(photons(), RESPONSES[name], 9, **given))


def test_parts_of_an_image(gpu: host.HostRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image larger than what goes to the device at a time; floats; several panels."""
    monkeypatch.setattr(chain, "_PIXELS_AT_ONCE", 700)
    response, image = RESPONSES["three stages"], photons().astype(np.float32)
    expected = detect(image, response, 2, **GIVEN)
    assert equal(detect(image, response, 2, device="cuda:0", **GIVEN), expected)
    assert len(gpu.launches) == 3
    found = detect([image, image[:3]], response, 2, device="cuda", **GIVEN)
    again = detect([image, image[:3]], response, 2, **GIVEN)
    assert all(np.array_equal(a, b) for a, b in zip(found.pixels, again.pixels, strict=True))
    assert (found.overloads, found.underloads) == (again.overloads, again.underloads)


@pytest.mark.parametrize("value", [-3.0, np.nan, np.inf])
def test_photons_that_are_no_numbers(value: float, gpu: host.HostRuntime) -> None:
    image = photons()[10:22]
    largest = image.max()
    image[4, 7] = value
    with pytest.raises(InputError, match="expected at slow 4, fast 7"):
        detect(image, DetectorResponse(bits=32), 1, device="cuda")
    image[4, 7] = -1e-7 * largest
    assert equal(detect(image, DetectorResponse(), 1, device="cuda"), detect(image, DetectorResponse(), 1))


def test_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Device "cuda" says so; "auto" takes the CPU, with a warning."""

    def no_gpu(index: int = 0) -> Any:
        raise DeviceError("this machine has no CUDA device")

    monkeypatch.setattr(cuda, "open_runtime", no_gpu)
    monkeypatch.setattr(queues, "_warned", False)
    with pytest.raises(DeviceError, match="no CUDA device"):
        detect(photons(), DetectorResponse(), 1, device="cuda")
    with pytest.warns(NbraggWarning, match="on the CPU"):
        found = detect(photons(), DetectorResponse(), 1, device="auto")
    assert equal(found, detect(photons(), DetectorResponse(), 1))


def test_a_gpu_that_fails_on_the_way(gpu: host.HostRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any) -> None:
        raise MemoryLimitError("the device is full")

    monkeypatch.setattr(gpu, "launch", fail)
    monkeypatch.setattr(queues, "_warned", False)
    with pytest.raises(MemoryLimitError):
        detect(photons(), DetectorResponse(), 1, device="cuda")
    with pytest.warns(NbraggWarning, match="the device is full"):
        found = detect(photons(), DetectorResponse(), 1, device="auto")
    assert equal(found, detect(photons(), DetectorResponse(), 1))
