"""Options of the detector's response: rows of the one table, for ``nanobragg`` and ``nbragg noise`` alike."""

from __future__ import annotations

from typing import Any

from .option import Option, file, flag, number

__all__ = ["ROWS"]


def _response(
    names: str, metavar: str, unit: str, default: str, text: str, field: str, kind: str = "float"
) -> Option:
    return number(names, "response", metavar, unit, default, text, f"response.{field}", kind=kind)


def _chosen(name: str, words: str, default: str, text: str, field: str) -> Option:
    sets = (f"response.{field}",)
    return Option(
        (name,), ("choice",), words, "", default, "response", text, sets, choices=tuple(words.split("|"))
    )


def _switch(name: str, text: str, field: str, value: Any = True, default: str = "off") -> Option:
    return flag(name, "response", text, (f"response.{field}", value), default=default)


# fmt: off
#: rows of the table, in the order of the help
ROWS = (
    Option(("-response",), ("text",), "NAME", "", "", "response",
           "detector: pilatus, pilatus4, eiger, eiger2, jungfrau, jungfrau_fixed, epix10k, epix10k_medium, "
           "epix10k_fixed, agipd, cspad, rayonix; the other options here change it", ("run.response",)),
    Option(("-rng",), ("choice",), "reference|philox", "", "reference; philox with options of this group",
           "response", "random numbers of counts: of nanoBragg.c, or by seed, image and pixel", ("run.rng",),
           choices=("reference", "philox")),
    _switch("-integrating", "charge is collected and digitised", "kind", "integrating", default="on"),
    _switch("-counting", "photons above a threshold are counted one by one", "kind", "counting"),
    _response("-photon_scale", "X", "", "1", "multiplies the photons first", "scale"),
    _response("-flicker", "X", "fraction rms", "0", "of the fluence, one factor for each image", "flicker"),
    _response("-calibration", "X", "fraction rms", "0", "error of each pixel, the same in all images",
              "calibration"),
    _response("-calib_seed", "N", "", "123456789", "seed of that pattern", "calib_seed", "int"),
    _chosen("-calibration_as", "gain|loss", "gain; loss with -counting",
            "whether it multiplies what was counted, or loses photons before", "calibration_as"),
    _chosen("-psf", "none|gauss|fiber", "none", "point spread", "psf"),
    _response("-psf_fwhm", "WIDTH", "um", "46", "full width at half maximum of the point spread",
              "psf_fwhm_um"),
    _chosen("-psf_stage", "after|before", "after; before with -counting",
            "whether it spreads counted photons, or expected ones", "psf_stage"),
    _response("-psf_radius", "R", "pixels", "whole kernel", "cut the point spread there", "psf_radius_px"),
    _response("-charge_sigma", "SIGMA", "um", "0", "rms width of the charge cloud, shared between pixels",
              "charge_sigma_um"),
    _response("-threshold", "X", "fraction", "0.5", "of a photon's charge, above which it is counted",
              "threshold"),
    _response("-fano", "F", "", "0", "Fano factor of the sensor", "fano"),
    _response("-pair_energy", "E", "eV", "3.65", "energy of an electron-hole pair", "pair_energy_eV"),
    _response("-gain", "GAIN", "ADU/photon", "1", "of the digitiser", "gain"),
    _switch("-gain_per_keV", "-gain is in ADU/keV", "gain_per_keV"),
    file("-gain_stages", "response", "",
          "gains that a pixel falls back to, one a line: gain (ADU/keV), pedestal (ADU), read-out noise "
          "(ADU), switch point (keV; none on the last line), its spread (keV)", "input.gain_stages"),
    _switch("-raw", "with gain stages: ADU, and the stage in the two highest bits", "raw"),
    _response("-readout", "NOISE", "ADU rms", "0", "read-out noise", "readout"),
    _response("-bits", "N", "", "16; 14 with gain stages",
              "of the digitiser or counter: 8, 12, 14, 16, 20, 32; 0: float pixels", "bits", "int"),
    _switch("-signed", "numbers below 0 can be written", "signed"),
    _response("-saturation", "N", "ADU", "from -bits", "pixels hold at most this", "saturation", "int"),
    _chosen("-overflow", "clip|wrap", "clip", "what becomes of brighter pixels", "overflow"),
    _response("-badpix", "X", "fraction", "0", "pixels that see nothing", "dead_fraction"),
    _response("-badpix_seed", "N", "", "1234", "chooses them", "dead_seed", "int"),
    file("-badpix_map", "response", "", "pixels that are 0 in this image see nothing", "input.badpix_map"),
    _switch("-flag_badpix", "they have -mask_value instead of what a dark pixel gives", "flag_dead"),
    _response("-hotpix", "X", "fraction", "0", "pixels that show -hot_adu at least", "hot_fraction"),
    _response("-hotpix_seed", "N", "", "5678", "chooses them", "hot_seed", "int"),
    _response("-hot_adu", "X", "ADU", "-saturation", "of hot pixels", "hot_adu"),
    _response("-dead_time", "TIME", "ns", "0", "of a counting pixel after each count", "dead_time_ns"),
    _switch("-retrigger", "it counts again after that time: not paralysable", "retrigger", default="on"),
    _switch("-noretrigger", "photons within it make it longer: paralysable", "retrigger", False),
    _switch("-rate_correction", "counts are corrected for the dead time", "rate_correction"),
    _response("-pulsed", "N", "", "continuous", "pulses in an exposure, at most one count in each", "pulsed",
              "int"),
    _response("-summed_frames", "N", "", "1", "frames in an image, each with a counter of -bits", "frames",
              "int"),
    _response("-mask_value", "N", "", "0; -2 with -signed", "of flagged bad pixels", "mask_value", "int"),
    _response("-gap_value", "N", "", "0; -1 with -signed", "of pixels that are not rendered", "gap_value",
              "int"),
)
# fmt: on
