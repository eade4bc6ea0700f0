"""Responses that between them use every step of the chain, and photons that need every kind of deviate."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nbragg import DetectorResponse, GainStage

SHAPE = (37, 53)

STAGES = (
    GainStage(gain_adu_per_keV=40, pedestal_adu=100, readout_adu=30, switch_keV=320, switch_spread_keV=15),
    GainStage(
        gain_adu_per_keV=-1, pedestal_adu=15500, readout_adu=3, switch_keV=12000, switch_spread_keV=300
    ),
    GainStage(gain_adu_per_keV=-0.1, pedestal_adu=15000, readout_adu=2),
)


def dead_map() -> npt.NDArray[np.bool_]:
    return np.random.default_rng(8).random(SHAPE) < 0.02


def counting(**fields: Any) -> DetectorResponse:
    return DetectorResponse(kind="counting", **fields)


RESPONSES: dict[str, DetectorResponse] = {
    "photons": DetectorResponse(),
    "float": DetectorResponse(bits=0, adc=0, readout=0.3),
    "every step": DetectorResponse(
        scale=0.5, flicker=0.1, calibration=0.03, fano=0.12, gain=1.8, readout=3, bits=20,
        dead_fraction=0.03, hot_fraction=0.02, dead_map=dead_map(),
    ),
    "loss, rolls over": DetectorResponse(
        calibration=0.2, calibration_as="loss", gain=0.1, gain_per_keV=True, readout=30, adc=5, bits=12,
        overflow="wrap", signed=True, flag_dead=True, dead_fraction=0.1,
    ),
    "clipped": DetectorResponse(readout=5, adc=0, bits=8, saturation=200, hot_fraction=0.1, hot_adu=150.3),
    "three stages": DetectorResponse(gain_stages=STAGES, calibration=0.01, flag_dead=True, dead_fraction=0.1),
    "three stages, raw": DetectorResponse(gain_stages=STAGES, raw=True, hot_fraction=0.05),
    "two stages, float": DetectorResponse(gain_stages=STAGES[1:], bits=0),
    "one stage": DetectorResponse(gain_stages=STAGES[2:], dead_fraction=0.1),
    "fibre": DetectorResponse(psf="fiber", psf_fwhm_um=90, calibration=0.03, readout=2, bits=32),
    "phosphor": DetectorResponse(psf="gauss", psf_fwhm_um=90, psf_stage="before", readout=2),
    "shared charge": DetectorResponse(charge_sigma_um=8, readout=1, gain=10, bits=20),
    "counter": counting(),
    "retriggered": counting(bits=20, dead_time_ns=200, psf="gauss", charge_sigma_um=8),
    "retriggered, corrected": counting(
        bits=12, dead_time_ns=120, rate_correction=True, frames=4, signed=True, dead_fraction=0.05,
        hot_fraction=0.05, flag_dead=True,
    ),
    "paralysable, corrected": counting(
        bits=20, dead_time_ns=200, retrigger=False, rate_correction=True, frames=3
    ),
    "corrected, float": counting(bits=0, dead_time_ns=120, rate_correction=True),
    "pulsed": counting(pulsed=60, frames=3, bits=8, overflow="wrap"),
    "frames": counting(bits=8, frames=20, calibration=0.05),
}  # fmt: skip

#: of `nbragg.detect`
GIVEN: dict[str, Any] = {"pixel_um": (75, 80), "exposure_s": 0.01, "energy_eV": 9000.0}


def photons() -> npt.NDArray[np.float64]:
    """From none to more than are counted one by one; a third is what images are made of."""
    rng = np.random.default_rng(3)
    found = 10 ** rng.uniform(-3, 5.5, SHAPE)
    found[rng.random(SHAPE) < 0.1] = 0
    found[3, 4], found[5, 6] = 3e9, 2e10
    found[10:22] = rng.uniform(0, 30, (12, SHAPE[1]))
    return found


def mask() -> npt.NDArray[np.bool_]:
    return np.random.default_rng(5).random(SHAPE) > 0.05
