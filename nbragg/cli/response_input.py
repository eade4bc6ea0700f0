"""From options to a detector's response, and whether the files that are asked for can hold its counts."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from ..base.errors import FileError, InputError
from ..base.warn import warn
from .response_options import ROWS

if TYPE_CHECKING:
    from ..model.response import DetectorResponse, GainStage
    from ..model.setup import Setup
    from .outputs import Outputs

__all__ = ["FIELDS", "FILES", "fitting_outputs", "response_from"]

#: field of the response -> the option that gives it
FIELDS = {
    **{
        target.removeprefix("response."): row.name
        for row in reversed(ROWS)
        for target in (*row.sets, *(name for name, _ in row.also))
        if target.startswith("response.")
    },
    "gain_stages": "-gain_stages",
    "dead_map": "-badpix_map",
    "adc": "-adc",
}

#: settings that name files
FILES = {"input.gain_stages": "-gain_stages", "input.badpix_map": "-badpix_map"}


def response_from(
    settings: dict[str, Any], inputs: dict[str, str], base: DetectorResponse | None = None
) -> DetectorResponse | None:
    """The response that the options ask for; None: counts are those of the reference program.

    Any option of a response but ``-adc`` asks for one, and so does ``-rng philox`` (beyond 13.3).

    Parameters
    ----------
    settings : dict
        "response.FIELD", "run.response", "run.rng", "output.adc", and the files of `FILES`.
    inputs : dict
        Gets the option and path of every file that is read.
    base : DetectorResponse, optional
        What the options change, unless they name a detector.

    Raises
    ------
    InputError
        For values that a response refuses, and ``-rng reference`` beside any of them.
    FileError
        For a file that cannot be read.
    """
    name, rng = settings.get("run.response"), settings.get("run.rng")
    fields = {key.partition(".")[2]: value for key, value in settings.items() if key.startswith("response.")}
    files = {key: settings[key] for key in FILES if settings.get(key) is not None}
    chosen = ["-response"] * (name is not None) + [FIELDS[field] for field in fields]
    chosen += [FILES[key] for key in files]
    if rng == "reference":
        if chosen:
            raise InputError(
                f"-rng reference draws the counts of nanoBragg.c, which knows no {', '.join(chosen)}: leave "
                "one of the two out"
            )
        return None
    if not chosen and rng is None and base is None:
        return None
    from ..model.response import DetectorResponse

    if settings.get("output.adc") is not None:
        fields["adc"] = settings["output.adc"]
    for key, path in files.items():
        inputs[FILES[key]] = path
    if "input.gain_stages" in files:
        fields["gain_stages"] = _gain_stages(files["input.gain_stages"])
    if "input.badpix_map" in files:
        from ..io.images import read_image

        fields["dead_map"] = ~(read_image(files["input.badpix_map"], frame=None).image > 0)
    try:
        if name is not None:
            return DetectorResponse.preset(name, **fields)
        return (base or DetectorResponse()).replace(**fields)
    except FileError:
        raise
    except InputError as error:
        raise InputError(_by_option(str(error))) from None


def _gain_stages(path: str) -> tuple[GainStage, ...]:
    from ..io.files.text_tables import read_gain_stages
    from ..model.response import GainStage

    names = list(GainStage.__dataclass_fields__)
    try:
        return tuple(GainStage(**dict(zip(names, row, strict=False))) for row in read_gain_stages(path))
    except FileError:
        raise
    except InputError as error:
        raise InputError(f"-gain_stages {path}: {error}") from None


def _by_option(message: str) -> str:
    """A message about a field as one about its option."""
    field = re.split(r"\W", message, maxsplit=1)[0]
    message = message.replace('give kind="counting"', "give -counting")
    return message.replace(field, FIELDS[field], 1) if field in FIELDS else message


def fitting_outputs(outputs: Outputs, setup: Setup, *, explicit: bool) -> Outputs:
    """The files, of which only those are left that can hold what the response writes.

    ``explicit`` says whether the noise file was asked for by name.

    Raises
    ------
    InputError
        Before anything is rendered: for a noise file asked for, or a file of counts, that cannot.
    """
    response = setup.response
    if response is None:
        return outputs
    counted = any(save_as == "counts" for _, _, save_as in outputs.saves)
    if counted:
        _check_saves(outputs, response)
    panels = len(setup.detector.panels or ())
    reason = ""
    if not np.can_cast(response.pixel_dtype, np.uint16):
        reason = f"it has 16 bits without sign, and this detector response writes {response.pixel_dtype}"
    elif panels > 1:
        reason = f"it holds one panel, and the detector has {panels}"
    advice = "-save FILE -save_as counts writes them, to .nxs or .cbf say"
    if reason and outputs.noise_file is not None:
        if explicit:
            raise InputError(
                f"-noisefile {outputs.noise_file}: {reason}; -nonoise leaves it out, and {advice}"
            )
        outputs = dataclasses.replace(outputs, noise_file=None)
    if outputs.noise_file is None and not counted:
        why = f"of -noisefile: {reason}; " if reason else ""
        warn(f"no counts are written, so the detector response has no effect ({why}{advice})")
    return outputs


def _check_saves(outputs: Outputs, response: DetectorResponse) -> None:
    from ..io.images.formats import FORMATS, counts_dtype, format_of

    for option, path, save_as in outputs.saves:
        if save_as != "counts":
            continue
        try:
            counts_dtype(FORMATS[format_of(path)], response.pixel_dtype)
        except InputError as error:
            raise InputError(f"{option} {path}: {error}") from None
