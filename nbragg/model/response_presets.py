"""What detectors do to photons, by name: numbers that were found, where, and what was not found."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..base import validate as check
from ..base.errors import InputError
from ..base.names import suggestion

__all__ = ["PRESETS", "Preset", "fields_of"]


class Preset(NamedTuple):
    """Fields of a DetectorResponse, and where they come from."""

    fields: dict[str, Any]
    source: str
    needs: tuple[str, ...] = ()  #: fields that are not known and have to be given
    stages: tuple[tuple[float, ...], ...] = ()  #: arguments of GainStage, in their order


_COUNTING = "dead time, charge sharing and threshold are not part of it: give them"

#: noise floor of ePix10k, keV rms
_EPIX_NOISE = 0.245
_EPIX = (
    "ePix10k: SLAC's page, 128.5, 42.4 and 1.28 ADU for a photon taken to be of 8 keV; noise floor 245 eV "
    "rms of the first gain: arXiv 1903.06805, {noise}; pedestals not known: 0"
)
_EPIX_SWITCHING = (
    _EPIX.format(noise="of the low gain not known: 0") + "; switch point as skopi has it: not verified"
)
_JUNGFRAU = (
    "Jungfrau: 40, 1 and 0.1 ADU/keV, pedestals 0, 2100 and 1900, as skopi has them, rising; the detector's "
    "lower gains fall (-1, -0.1), with other pedestals: not verified; read-out noise not known: 0"
)

#: by name
PRESETS: dict[str, Preset] = {
    "pilatus": Preset(
        {"kind": "counting", "bits": 20, "signed": True},
        "Pilatus: counter of 20 bits, not paralysable; bad pixels -2, gaps -1 (user manual 1.2); "
        f"{_COUNTING}",
    ),
    "pilatus4": Preset(
        {"kind": "counting", "signed": True},
        f"Pilatus4: counting; bits of the counter not known: 16; {_COUNTING}",
    ),
    "eiger": Preset(
        {"kind": "counting", "bits": 12},
        f"Eiger: counter of 12 bits in each of frames that are summed; {_COUNTING}",
    ),
    "eiger2": Preset(
        {"kind": "counting", "bits": 16},
        f"Eiger2: counter of 16 bits in each of frames that are summed; {_COUNTING}",
    ),
    "jungfrau": Preset(
        {"bits": 14},
        f"{_JUNGFRAU}; switch points 320 and 12000 keV (40 and 1500 photons of 8 keV), the same",
        stages=((40.0, 0.0, 0.0, 320.0), (1.0, 2100.0, 0.0, 12000.0), (0.1, 1900.0, 0.0)),
    ),
    "jungfrau_fixed": Preset(
        {"bits": 14, "gain": 40.0, "gain_per_keV": True, "adc": 0.0},
        f"{_JUNGFRAU}; the first gain alone",
    ),
    "epix10k": Preset(
        {"bits": 14},
        f"{_EPIX_SWITCHING}; high to low",
        stages=((16.0, 0.0, 16.0 * _EPIX_NOISE, 800.0), (0.16, 0.0, 0.0)),
    ),
    "epix10k_medium": Preset(
        {"bits": 14},
        f"{_EPIX_SWITCHING}; medium to low, with the noise floor of the high gain: not verified",
        stages=((5.3, 0.0, 5.3 * _EPIX_NOISE, 2400.0), (0.16, 0.0, 0.0)),
    ),
    "epix10k_fixed": Preset(
        {"bits": 14, "gain": 16.0, "gain_per_keV": True, "readout": 16.0 * _EPIX_NOISE, "adc": 0.0},
        _EPIX.format(noise="which is that of the high gain") + "; the high gain alone",
    ),
    "agipd": Preset(
        {"bits": 14},
        "AGIPD: three gains; noise below 1 keV, more than 10^4 photons of 12 keV (Allahgholi et al. 2019); "
        "gains, pedestals and switch points as given",
        needs=("gain_stages",),
    ),
    "cspad": Preset(
        {"bits": 14},
        "CSPAD: 14 bits; not known, unless given: gain (1 ADU a photon), read-out noise (0)",
    ),
    "rayonix": Preset(
        {"bits": 16, "psf": "fiber"},
        "Rayonix MX340: 16 bits, a phosphor on fibre-optic tapers; not known, unless given: width of its "
        "point spread (46 um), gain (1 ADU a photon), read-out noise (0)",
    ),
}


def fields_of(name: Any, energy_eV: float | None) -> tuple[Preset, dict[str, Any]]:
    """A preset, and the fields that it gives, its source among them.

    Raises
    ------
    InputError
        For a name that there is not, with the nearest one.
    """
    if not isinstance(name, str) or name.lower() not in PRESETS:
        raise InputError(f"there is no response {name!r}{_near(str(name))}")
    preset = PRESETS[name.lower()]
    fields = preset.fields | {"source": preset.source}
    energy = check.optional_number("energy_eV", energy_eV, above=0)
    if energy is not None and fields.get("gain_per_keV"):
        fields["gain"] *= 1e-3 * energy
        fields["gain_per_keV"] = False
        fields["source"] += f"; for photons of {energy:g} eV"
    return preset, fields


def _near(name: str) -> str:
    """The nearest name, or all of them; detectors have sizes that their responses do not."""
    alike = [known for known in PRESETS if name.lower().startswith(known)]
    if alike:
        return f"; did you mean {max(alike, key=len)!r}?"
    import difflib

    if difflib.get_close_matches(name.lower(), PRESETS, 1, 0.5):
        return suggestion(name, PRESETS)
    return f"; there are {', '.join(PRESETS)}"
