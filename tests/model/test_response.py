"""The record of a detector's response: defaults, what it refuses, its pixel types, presets, recipes."""

from __future__ import annotations

import math
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nbragg
from nbragg import DetectorResponse, GainStage, InputError
from nbragg.cli.options import find
from nbragg.model.detector_library import LIBRARY
from nbragg.model.response_presets import PRESETS

STAGES = [
    GainStage(gain_adu_per_keV=40, pedestal_adu=0, readout_adu=3, switch_keV=300, switch_spread_keV=2),
    GainStage(gain_adu_per_keV=-1, pedestal_adu=15000, readout_adu=2),
]

#: beyond 14.1
DEFAULTS = {
    "kind": "integrating",
    "scale": 1.0,
    "flicker": 0.0,
    "calibration": 0.0,
    "calib_seed": 123456789,
    "psf": "none",
    "psf_fwhm_um": 46.0,
    "charge_sigma_um": 0.0,
    "threshold": 0.5,
    "fano": 0.0,
    "pair_energy_eV": 3.65,
    "gain": 1.0,
    "gain_per_keV": False,
    "gain_stages": (),
    "readout": 0.0,
    "signed": False,
    "overflow": "clip",
    "dead_fraction": 0.0,
    "dead_seed": 1234,
    "hot_fraction": 0.0,
    "hot_seed": 5678,
    "dead_time_ns": 0.0,
    "retrigger": True,
    "rate_correction": False,
    "pulsed": None,
    "frames": 1,
    "raw": False,
    "flag_dead": False,
    "source": "",
    "resolved_adc": 40.0,
    "resolved_bits": 16,
    "resolved_saturation": 65535,
    "resolved_hot_adu": 65535.0,
    "resolved_calibration_as": "gain",
    "resolved_psf_stage": "after",
    "resolved_mask_value": 0,
    "resolved_gap_value": 0,
}


def test_defaults() -> None:
    response = DetectorResponse()
    assert {name: getattr(response, name) for name in DEFAULTS} == DEFAULTS
    assert not response.is_counting


def test_what_none_stands_for_follows_the_kind() -> None:
    counter = DetectorResponse().replace(kind="counting")
    assert (counter.resolved_adc, counter.resolved_psf_stage) == (0.0, "before")
    assert counter.resolved_calibration_as == "loss"
    staged = DetectorResponse(gain_stages=STAGES)
    assert (staged.resolved_adc, staged.resolved_bits, staged.resolved_saturation) == (0.0, 14, 16383)
    signed = DetectorResponse(signed=True)
    assert signed.levels == (-32768, 32767) and signed.resolved_saturation == 32767
    assert (signed.resolved_mask_value, signed.resolved_gap_value) == (-2, -1)
    assert DetectorResponse(bits=0).levels == (-math.inf, math.inf)


@pytest.mark.parametrize(
    ("fields", "dtype"),
    [
        ({}, "uint16"),
        ({"bits": 8}, "uint8"),
        ({"bits": 14}, "uint16"),
        ({"bits": 20}, "uint32"),
        ({"bits": 32}, "uint32"),
        ({"bits": 0}, "float32"),
        ({"signed": True}, "int16"),
        ({"signed": True, "bits": 8}, "int16"),
        ({"signed": True, "bits": 20}, "int32"),
        ({"bits": 8, "gap_value": 300}, "uint16"),
        ({"gap_value": 2**32 - 1}, "uint32"),
        ({"gain_stages": STAGES}, "float32"),
        ({"gain_stages": STAGES, "raw": True}, "uint16"),
        ({"kind": "counting", "bits": 20, "signed": True}, "int32"),
        ({"kind": "counting", "bits": 16, "signed": True}, "int32"),
        ({"kind": "counting", "bits": 12}, "uint16"),
        ({"kind": "counting", "bits": 12, "frames": 2}, "uint32"),
        ({"kind": "counting", "bits": 32, "signed": True}, "int32"),
    ],
)
def test_pixel_type_is_the_smallest_that_holds_everything(fields: dict[str, Any], dtype: str) -> None:
    assert DetectorResponse(**fields).pixel_dtype == np.dtype(dtype)


@pytest.mark.parametrize(
    ("fields", "about"),
    [
        ({"kind": "countin"}, "did you mean 'counting'"),
        ({"psf": "fibre"}, "did you mean 'fiber'"),
        ({"overflow": "rap"}, "did you mean 'wrap'"),
        ({"psf_stage": "later"}, "psf_stage"),
        ({"gian": 2}, "did you mean 'gain'"),
        ({"flicker": -0.1}, "at least 0"),
        ({"flicker": math.nan}, "finite"),
        ({"scale": "2"}, "number"),
        ({"gain": 0}, "above 0"),
        ({"threshold": 0}, "above 0"),
        ({"threshold": 1}, "below 1"),
        ({"dead_fraction": 1.5}, "at most 1"),
        ({"calib_seed": -1}, "from 0"),
        ({"calib_seed": 2**64}, "from 0"),
        ({"psf_radius_px": 1e6}, "at most 5000"),
        ({"bits": 15}, "0, 8, 12, 14, 16, 20, 32, not 15"),
        ({"bits": True}, "not True"),
        ({"saturation": 70000}, "65535"),
        ({"saturation": 100, "bits": 0}, "digitises nothing"),
        ({"overflow": "wrap", "bits": 0}, "digitises nothing"),
        ({"hot_fraction": 0.1, "bits": 0}, "give hot_adu"),
        ({"signed": 1}, "True or False"),
        ({"frames": 2}, "counting"),
        ({"dead_time_ns": 5}, "counting"),
        ({"threshold": 0.4}, "counting"),
        ({"pulsed": 3}, "counting"),
        ({"kind": "counting", "readout": 1}, "counting detector has none"),
        ({"kind": "counting", "gain": 2}, "counting detector has none"),
        ({"kind": "counting", "adc": 40}, "has 0.0 only"),
        ({"kind": "counting", "psf_stage": "after"}, "has 'before' only"),
        ({"kind": "counting", "calibration_as": "gain"}, "has 'loss' only"),
        ({"kind": "counting", "rate_correction": True}, "needs dead_time_ns"),
        ({"kind": "counting", "pulsed": 3, "dead_time_ns": 5}, "leave out dead_time_ns"),
        ({"raw": True}, "give gain_stages"),
        ({"gain_stages": STAGES, "raw": True, "bits": 16}, "14 bits"),
        ({"gain_stages": STAGES, "readout": 3}, "have their own"),
        ({"gain_stages": STAGES, "adc": 3}, "pedestals"),
        ({"gain_stages": STAGES[::-1]}, "rise to infinity"),
        ({"gain_stages": STAGES[:1]}, "rise to infinity"),
        ({"gain_stages": [*STAGES[:1] * 3, STAGES[1]]}, "1 to 3"),
        ({"gain_stages": [3]}, "must be a GainStage"),
        ({"gain_stages": 3}, "sequence of GainStage"),
        ({"mask_value": -1}, "from 0"),
        ({"gap_value": 2**31, "signed": True}, "2147483647"),
        ({"dead_map": [[0.5]]}, "array of bool"),
        ({"source": 3}, "text"),
    ],
)
def test_what_is_refused(fields: dict[str, Any], about: str) -> None:
    with pytest.raises(InputError) as caught:
        DetectorResponse(**fields)
    assert about in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "about"),
    [
        ({"gain_adu_per_keV": 0}, "must not be 0"),
        ({"readout_adu": -1}, "at least 0"),
        ({"switch_keV": 0}, "above 0"),
        ({"switch_keV": -math.inf}, "above 0"),
    ],
)
def test_stages_that_are_refused(fields: dict[str, Any], about: str) -> None:
    stage = {"gain_adu_per_keV": 1, "pedestal_adu": 0, "readout_adu": 0}
    with pytest.raises(InputError, match=about):
        GainStage(**stage | fields)


def test_a_record_among_others() -> None:
    dead = np.eye(4) > 0
    response = DetectorResponse(dead_map=dead)
    dead[0, 1] = True  # which is somebody else's
    assert response.dead_map is not None and response.dead_map.sum() == 4
    assert response == pickle.loads(pickle.dumps(response)) and hash(response) == hash(response.replace())
    assert response != response.replace(gain=2)
    assert "dead_map=<array (4, 4) bool>" in repr(response)


# ---- presets -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PRESETS)
def test_presets_say_where_their_numbers_come_from(name: str) -> None:
    needed: dict[str, Any] = dict.fromkeys(PRESETS[name].needs, STAGES)
    response = DetectorResponse.preset(name, **needed)
    assert response.source == PRESETS[name].source and len(response.source) > 20
    option = find("-response")
    assert option is not None and name in re.findall(r"\w+", option.help)
    assert f'"{name}"' in (DetectorResponse.preset.__doc__ or "")


def test_presets_are_those_of_the_contract() -> None:
    kinds = {name: DetectorResponse.preset(name).kind for name in ("pilatus", "eiger", "eiger2", "pilatus4")}
    assert set(kinds.values()) == {"counting"}
    bits = {name: DetectorResponse.preset(name).resolved_bits for name in PRESETS if not PRESETS[name].needs}
    assert bits == {
        "pilatus": 20,
        "pilatus4": 16,
        "eiger": 12,
        "eiger2": 16,
        "rayonix": 16,
    } | dict.fromkeys(
        ["jungfrau", "jungfrau_fixed", "epix10k", "epix10k_medium", "epix10k_fixed", "cspad"], 14
    )
    jungfrau = DetectorResponse.preset("jungfrau").gain_stages
    assert [stage.gain_adu_per_keV for stage in jungfrau] == [40, 1, 0.1]
    assert [stage.switch_keV for stage in jungfrau] == [320, 12000, math.inf]
    epix = DetectorResponse.preset("epix10k").gain_stages
    assert [(s.gain_adu_per_keV, s.switch_keV) for s in epix] == [(16, 800), (0.16, math.inf)]
    medium = DetectorResponse.preset("epix10k_medium").gain_stages
    assert [(s.gain_adu_per_keV, s.switch_keV) for s in medium] == [(5.3, 2400), (0.16, math.inf)]
    assert epix[0].readout_adu == pytest.approx(16 * 0.245)
    assert DetectorResponse.preset("rayonix").psf == "fiber"
    for stages in (jungfrau, epix, medium):  # every stage stays within the digitiser
        for stage, low in zip(stages, [0, *(s.switch_keV for s in stages)], strict=False):
            high = min(stage.switch_keV, 13000)
            ends = [stage.pedestal_adu + stage.gain_adu_per_keV * q for q in (low, high)]
            assert min(ends) >= 0 and max(ends) <= 16383


def test_a_gain_per_keV_becomes_one_per_photon() -> None:
    fixed = DetectorResponse.preset("epix10k_fixed", energy_eV=8000)
    assert (fixed.gain, fixed.gain_per_keV) == (pytest.approx(128), False)
    assert "8000 eV" in fixed.source
    at = DetectorResponse.preset("epix10k_fixed").moments([[3.0]], energy_eV=8000)
    assert at.mean == pytest.approx(fixed.moments([[3.0]]).mean)


@pytest.mark.parametrize(
    ("arguments", "about"),
    [
        (("jungfru",), "did you mean 'jungfrau'"),
        (("eiger_16m",), "did you mean 'eiger'"),
        (("eiger2_4m",), "did you mean 'eiger2'"),
        (("xyz",), "there are pilatus"),
        ((3,), "there are pilatus"),
        (("agipd",), "gain_stages not known: give them"),
        (("eiger", -3), "above 0"),
    ],
)
def test_presets_that_are_refused(arguments: tuple[Any, ...], about: str) -> None:
    with pytest.raises(InputError) as caught:
        DetectorResponse.preset(*arguments)
    assert about in str(caught.value)


# ---- in a set-up -------------------------------------------------------------------------------------------

SETUP = nbragg.from_cli("-cell 50 60 70 -default_F 10 -N 3 -detpixels 8 -oversample 1")


def test_it_is_a_part_of_a_setup() -> None:
    assert SETUP.response is None
    response = DetectorResponse(gain=3)
    changed = SETUP.replace(response=response)
    assert changed.response is response and changed != SETUP and changed.replace(response=None) == SETUP
    assert nbragg.Series(SETUP, [response])[0] == changed
    with pytest.raises(InputError, match="response must be a DetectorResponse, not a str"):
        SETUP.replace(response="eiger")


@pytest.mark.parametrize("suffix", ["json", "yaml"])
@pytest.mark.parametrize(
    "response",
    [
        DetectorResponse(),
        DetectorResponse.preset("jungfrau"),
        DetectorResponse(gain_stages=STAGES, raw=True, flag_dead=True, dead_map=np.eye(30) > 0),
        DetectorResponse(dead_map=np.eye(3) > 0, kind="counting", pulsed=7, calib_seed=2**64 - 1),
    ],
    ids=["default", "jungfrau", "stages", "counting"],
)
def test_recipes_keep_it(suffix: str, response: DetectorResponse, tmp_path: Path) -> None:
    for stored in (SETUP.replace(response=response), response, STAGES[0]):
        nbragg.dump(stored, tmp_path / f"a.{suffix}")
        assert nbragg.load(tmp_path / f"a.{suffix}") == stored


def test_recipes_with_a_wrong_response(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"nanobragg_recipe": 1, "kind": "response", "response": {"gian": 2}}')
    with pytest.raises(InputError, match="did you mean 'gain'"):
        nbragg.load(tmp_path / "a.json")
    (tmp_path / "a.json").write_text('{"nanobragg_recipe": 1, "kind": "response", "respnse": {}}')
    with pytest.raises(InputError, match="did you mean 'response'"):
        nbragg.load(tmp_path / "a.json")


def test_detectors_by_name_have_responses() -> None:
    named = {entry.preset for entry in LIBRARY.values()} - {""}
    assert named and named <= set(PRESETS)
