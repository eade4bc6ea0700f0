"""A detector as the engine's chain reads it: one record of numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import _engine
from ..base import validate as check
from ..base.errors import InputError

if TYPE_CHECKING:
    from ..model.response import DetectorResponse

__all__ = ["Conditions", "chain_record"]

_EV_PER_KEV = 1000.0
_SECONDS_PER_NS = 1e-9
#: frames have blocks of random numbers of their own: NB_DRAWS_OF_A_FRAME of csrc/nb_counting.h, in 2^32
_MOST_FRAMES = 2**16


class Conditions(NamedTuple):
    """What a detector's numbers depend on beside photons and the detector."""

    seed: int  #: 64 bits; negative ones count from 2^64 down
    image: int = 0
    exposure_s: float | None = None
    energy_eV: float | None = None


def chain_record(response: DetectorResponse, given: Conditions) -> NDArray[Any]:
    """One record of `_engine.RESPONSE_DTYPE`.

    Raises
    ------
    InputError
        For seeds and numbers out of range, and without energy or exposure time where the detector needs them.
    """
    record: NDArray[Any] = np.zeros(1, _engine.RESPONSE_DTYPE)
    r = record[0]
    r["seed"] = check.count("seed", given.seed, at_least=-(2**63), at_most=2**64 - 1) % 2**64
    r["image"] = check.count("image", given.image, at_least=0, at_most=2**56 - 1)
    for name in ("calib_seed", "dead_seed", "hot_seed", "scale", "dead_fraction", "hot_fraction", "readout"):
        r[name] = getattr(response, name)
    r["flicker"] = 1.0
    if response.flicker:
        r["flicker"] = _engine.flicker(int(r["seed"]), int(r["image"]), response.flicker)
    r["loss" if response.resolved_calibration_as == "loss" else "spread"] = response.calibration
    r["flag_dead"] = response.flag_dead
    r["mask_value"], r["gap_value"] = response.resolved_mask_value, response.resolved_gap_value
    _levels(r, response)
    _counting(r, response, given)
    _gain(r, response, given)
    return record


def _levels(r: Any, response: DetectorResponse) -> None:
    r["digitise"], r["wrap"] = response.resolved_bits > 0, response.overflow == "wrap"
    r["low"], r["high"] = response.levels
    r["top"] = response.resolved_saturation
    r["hot_adu"] = response.resolved_hot_adu
    r["most"] = np.inf
    if response.resolved_bits and response.frames > 1:
        r["most"] = 2.0 ** (31 if response.signed else 32) - 1


def _counting(r: Any, response: DetectorResponse, given: Conditions) -> None:
    r["frames"] = frames = response.frames
    if frames > _MOST_FRAMES:
        raise InputError(f"frames = {frames}: at most {_MOST_FRAMES} can be summed")
    kind = "counter" if response.is_counting else "integrating"
    if response.pulsed is not None:
        if response.pulsed % frames:
            raise InputError(
                f"pulsed = {response.pulsed} with frames = {frames}: give whole pulses for each frame"
            )
        kind = "pulsed"
        r["pulses"] = response.pulsed // frames
    if response.dead_time_ns:
        exposure_s = check.optional_number("exposure_s", given.exposure_s, above=0)
        if exposure_s is None:
            raise InputError("dead_time_ns is compared with the exposure: give exposure_s")
        kind = "retrigger" if response.retrigger else "paralysable"
        r["windows"] = exposure_s / frames / (response.dead_time_ns * _SECONDS_PER_NS)
        if not r["windows"] >= 1.0:
            raise InputError(
                f"an exposure of {exposure_s / frames:g} s is shorter than dead_time_ns = "
                f"{response.dead_time_ns:g}: give pulsed=1 for at most one count, or a longer exposure"
            )
        r["dead_time"] = 1.0 / r["windows"]
        r["corrected"] = response.rate_correction
    r["counting"] = _engine.COUNTING[kind]


def _gain(r: Any, response: DetectorResponse, given: Conditions) -> None:
    energy_eV = check.optional_number("energy_eV", given.energy_eV, above=0)
    needed = [
        name
        for name, used in (
            ("gain_per_keV", response.gain_per_keV),
            ("gain_stages", bool(response.gain_stages)),
            ("fano", response.fano > 0.0),
        )
        if used
    ]
    if needed and energy_eV is None:
        raise InputError(f"{needed[0]} needs the energy of a photon: give energy_eV")
    r["gain"], r["offset"] = response.gain, response.resolved_adc
    if energy_eV is not None:
        r["energy"] = energy_eV / _EV_PER_KEV
        r["charge"] = response.fano * response.pair_energy_eV / energy_eV
        if response.gain_per_keV:
            r["gain"] = response.gain * r["energy"]
    r["stages"], r["raw"] = len(response.gain_stages), response.raw
    for i, stage in enumerate(response.gain_stages):
        r["stage_gain"][i], r["pedestal"][i] = stage.gain_adu_per_keV, stage.pedestal_adu
        r["stage_readout"][i] = stage.readout_adu
        r["switch_at"][i], r["switch_spread"][i] = stage.switch_keV, stage.switch_spread_keV
