"""What stands in the way of the light, with the CUDA kernels run on the host: as on the CPU."""

from __future__ import annotations

from typing import Any

import cuda_host as host
import numpy as np
import pytest
from surroundings_scenes import AROUND, CRYSTAL, PANELS

import nbragg
from nbragg import Detector, SampleAbsorption

pytestmark = [host.needs_compiler]

RAYS = nbragg.SourceList([[-9, 0, 0], [-9, 0.1, -0.2]], weights=[1, 3], wavelengths_A=[0.9, 1.3])
BALL = SampleAbsorption(material="water", radius_mm=0.4)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"sample_absorption": BALL},
        {"sample_absorption": BALL.replace(crystal_at_mm=(0.1, 0, -0.2))},
        {"direct_beam": True},
    ],
    ids=["slab", "ball", "crystal", "direct"],
)
def test_as_on_the_cpu(changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Two panels, two wavelengths, air lit along its path."""
    host.pretend_gpu(monkeypatch)
    panels = [*PANELS, nbragg.Panel(
        origin_mm=(70, -3, -3), fast=(0, 1, 0), slow=(0, 0, 1), fpixels=9, spixels=7, pixel_mm=0.9,
        thickness_um=300, material="Si",
    )]  # fmt: skip
    setup = nbragg.Setup(
        CRYSTAL,
        nbragg.Beam(sources=RAYS, fluence=1e22),
        Detector(panels=panels),
        nbragg.Sampling(background_oversample=2),
        backgrounds=nbragg.Background("air", path_mm=(-20, 45), segments=5, outside="hold"),
        surroundings=AROUND.replace(**changes),
    )
    cpu = nbragg.simulate(setup, precision="double").image
    gpu = nbragg.simulate(setup, device="cuda", precision="double").image
    assert (cpu > 0).any()
    np.testing.assert_allclose(gpu, cpu, rtol=2e-6, atol=1e-9 * float(np.max(cpu)))
