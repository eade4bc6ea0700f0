"""Spectra from files: text of two columns, CrystFEL's, wavelengths, NeXus (beyond 15.1)."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base import constants
from ...base import validate as check
from ...base.errors import FileError, InputError, NbraggError
from ...base.names import suggestion
from ...base.optional import require
from .sniff import check_file, content_kind

__all__ = ["UNITS", "all_energies", "beam_spectrum", "read_spectrum", "spectra_in", "write_spectrum"]

#: units of the first column
UNITS = ("eV", "keV", "A")

Columns = tuple[NDArray[np.float64], NDArray[np.float64]]

_MAX_BYTES = 2**28
_DELIMITERS = re.compile(r"[\s,;]+")
#: first word of a header, in lower case: what the column holds, and its unit
_HEADER = re.compile(r"(energy|energies|photon_energy|wavelengths?|lambda)[^a-z]*(kev|ev|angstroms?|a)?\W*")
_LENGTHS = {"angstrom": 1.0, "angstroms": 1.0, "a": 1.0, "nm": 10.0, "m": 1e10}
_ENERGIES = {"ev": 1.0, "kev": 1e3}

#: where NXmx files keep the beam
_BEAMS = ("entry/instrument/beam", "entry/sample/beam")


def read_spectrum(path: str | os.PathLike[str], *, unit: str | None = None, image: int = 0) -> Columns:
    """Energies (eV) and weights of a file, as they stand there.

    Parameters
    ----------
    path : path
    unit : {"eV", "keV", "A"}, optional
        Of the first column of a text; None: as its header says, angstrom of ``.lam``, else eV.
    image : int
        Of a NeXus file with a spectrum for each image: which.

    Raises
    ------
    FileError
        Missing, empty, no spectrum, not numeric, or of a unit that cannot be told; line and value are given.
    InputError
        For an unknown unit and an image that is not there.
    """
    if unit is not None and unit not in UNITS:
        raise InputError(f"unit: there is no unit {unit!r}{suggestion(str(unit), UNITS)}")
    number = check.count("image", image, at_least=0)
    file = check_file(path, what="spectrum", max_bytes=_MAX_BYTES)
    if content_kind(file) == "hdf5":
        return _of_nexus(file, number)
    rows, said = _rows(file)
    column, weights = np.array(rows).T
    unit = unit or said or ("A" if file.suffix.lower() == ".lam" else None)
    low = int(np.argmin(column))
    if column[low] <= 0:
        raise FileError(f"{file}: {column[low]:g} in the first column: energies and wavelengths are positive")
    if unit is None and column[low] < 100:
        raise FileError(f"{file}: is {column[low]:g} in angstrom, keV or eV? say unit=")
    if (weights < 0).any() or not weights.any():
        raise FileError(f"{file}: the weights, in the second column, must not be negative, nor all zero")
    if unit == "A":
        return constants.HC_EV_A / column, weights
    return column * (1e3 if unit == "keV" else 1.0), weights


def _rows(file: Path) -> tuple[list[tuple[float, float]], str | None]:
    """The rows of a text, and the unit that a header says."""
    rows: list[tuple[float, float]] = []
    unit = None
    for number, line in enumerate(file.read_text(encoding="latin-1").splitlines(), start=1):
        words = [word.strip("\"'") for word in _DELIMITERS.split(line.strip().lstrip("#").strip()) if word]
        if not words:
            continue
        if line.lstrip().startswith("#") or words[0][0].isalpha():
            unit = unit if rows else _said_unit(words[0]) or unit
            continue
        try:
            x, weight = (float(word) for word in words[:2])
        except ValueError:
            x = weight = math.nan
        if not (math.isfinite(x) and math.isfinite(weight)):
            raise FileError(
                f'{file}, line {number}: "{line.strip()[:60]}": expected two numbers, energy weight'
            )
        rows.append((x, weight))
    if not rows:
        raise FileError(f"{file}: no spectrum; expected lines of energy and weight")
    return rows, unit


def _said_unit(word: str) -> str | None:
    found = _HEADER.fullmatch(word.lower())
    if found is None or found[2] is None:
        return None
    length = found[1].startswith(("wave", "lambda"))
    if length == found[2].startswith("a"):
        return {"ev": "eV", "kev": "keV"}.get(found[2], "A")
    return None


def spectra_in(path: str | os.PathLike[str]) -> int:
    """How many images a file has a spectrum for each of; 0: there is one for all.

    Raises
    ------
    FileError
        As `read_spectrum`.
    """
    file = check_file(path, what="spectrum", max_bytes=_MAX_BYTES)
    if content_kind(file) != "hdf5":
        return 0
    counts: list[int] = []

    def count(beam: Any) -> Columns | None:
        found = _datasets(beam)
        counts.extend(len(dataset) for dataset in found or () if dataset.ndim == 2)
        return None if found is None else (np.zeros(0), np.zeros(0))

    _of_beams(file, count)
    return max(counts, default=0)


def all_energies(path: str | os.PathLike[str]) -> NDArray[np.float64]:
    """Energies (n,), eV, of all images of a NeXus file: those of its axis, or of each image's own.

    Raises
    ------
    FileError
        As `read_spectrum`.
    """
    file = check_file(path, what="spectrum", max_bytes=_MAX_BYTES)

    def energies(beam: Any) -> Columns | None:
        found = _datasets(beam)
        if found is None:
            return None
        values = np.unique(np.asarray(found[0][()], dtype=np.float64))
        return _in_eV(found[0], values), np.zeros(0)

    return _of_beams(file, energies)[0]


def _of_nexus(file: Path, image: int) -> Columns:
    return _of_beams(file, lambda beam: beam_spectrum(beam, image))


def _of_beams(file: Path, take: Callable[[Any], Columns | None]) -> Columns:
    """The first that is found in the beams of a file."""
    h5py = require("h5py", extra="io", purpose="reading HDF5 files")
    try:
        with h5py.File(file, "r") as source:
            for name in _BEAMS:
                found = take(source[name]) if name in source else None
                if found is not None:
                    return found
    except NbraggError as error:
        raise type(error)(f"{file}: {error}") from None
    except Exception as error:  # h5py raises many kinds on damaged files
        raise FileError(
            f"{file} cannot be read as an HDF5 file: {' '.join(str(error).split())[:300]}"
        ) from None
    raise FileError(
        f"{file} holds no spectrum: its beam has neither incident_wavelength_spectrum nor "
        "incident_wavelength with incident_wavelength_weights, nor a variant of it with weights"
    )


def beam_spectrum(beam: Any, image: int = 0) -> Columns | None:
    """Energies (eV) and weights of an NXbeam; None where it has no spectrum.

    Parameters
    ----------
    beam : h5py.Group
    image : int
        Row of arrays with one spectrum for each image.
    """
    found = _datasets(beam)
    if found is None:
        return None
    axis, weights = found
    x, w = _row(axis, image), _row(weights, image)
    if x.shape != w.shape:
        raise FileError(f"{x.size} wavelengths have {w.size} weights")
    return _in_eV(axis, x), w


def _in_eV(axis: Any, x: NDArray[np.float64]) -> NDArray[np.float64]:
    unit = _text(axis.attrs.get("units", "angstrom")).lower()
    if unit in _ENERGIES:
        return x * _ENERGIES[unit]
    if unit not in _LENGTHS:
        raise FileError(f"the spectrum has the unit {unit!r}; angstrom, nm, m, eV or keV was expected")
    return np.asarray(constants.HC_EV_A / (x * _LENGTHS[unit]))


def _datasets(beam: Any) -> tuple[Any, Any] | None:
    """Energies or wavelengths of an NXbeam, and weights."""
    spectrum = beam.get("incident_wavelength_spectrum")
    if spectrum is not None and "signal" in spectrum.attrs:
        axes = spectrum.attrs["axes"]
        axis = spectrum[_text(axes if isinstance(axes, (str, bytes)) else np.ravel(axes)[-1])]
        return axis, spectrum[_text(spectrum.attrs["signal"])]
    name = "incident_wavelength"
    for _ in range(8):  # a variant may have one itself
        if name not in beam:
            return None
        for ending in ("_weights", "_weight"):
            if name + ending in beam:
                return beam[name], beam[name + ending]
        name = _text(beam[name].attrs.get("variant", ""))
    return None


def _row(dataset: Any, image: int) -> NDArray[np.float64]:
    array = np.asarray(dataset[()], dtype=np.float64)
    if array.ndim == 2:
        if image >= len(array):
            raise InputError(f"it has spectra of {len(array)} images; image {image} was asked for")
        array = array[image]
    return array.reshape(-1)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def write_spectrum(path: str | os.PathLike[str], energies_eV: Any, weights: Any) -> None:
    """Write a text that `read_spectrum` reads back to the bit.

    Raises
    ------
    FileError
    """
    from .atomic import open_atomic

    with open_atomic(path, "w") as stream:
        stream.write("# energy/eV weight\n")
        for energy, weight in zip(energies_eV.tolist(), weights.tolist(), strict=True):
            stream.write(f"{energy!r} {weight!r}\n")
