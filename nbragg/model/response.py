"""What a detector makes of the photons that it absorbs, step by step."""

from __future__ import annotations

import itertools
import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..base import validate as check
from ..base.errors import InputError
from ..base.names import suggestion
from ..base.records import Record, frozen
from .expected_counts import ExpectedCounts
from .response_presets import fields_of

__all__ = ["DetectorResponse", "GainStage"]

KINDS = ("integrating", "counting")
PSFS = ("none", "gauss", "fiber")
#: bits of a digitiser or counter; 0: none, numbers stay as they are
BITS = (0, 8, 12, 14, 16, 20, 32)

#: of the digitiser of a detector that switches its gain; the other two bits of 16 are the stage
STAGED_BITS = 14

#: seeds are the key of the generator
_LARGEST_SEED = 2**64 - 1

#: field -> what it has where there is no such step; another value would go unheard
_INTEGRATING_ONLY: dict[str, Any] = {
    "fano": 0.0,
    "gain": 1.0,
    "gain_per_keV": False,
    "gain_stages": (),
    "readout": 0.0,
    "raw": False,
}
_COUNTING_ONLY: dict[str, Any] = {
    "dead_time_ns": 0.0,
    "retrigger": True,
    "rate_correction": False,
    "pulsed": None,
    "frames": 1,
    "threshold": 0.5,
}
_WITHOUT_STAGES: dict[str, Any] = {"gain": 1.0, "gain_per_keV": False, "readout": 0.0}


@frozen(kw_only=True)
class GainStage(Record):
    """One gain of a detector that lowers it where a pixel holds much charge.

    Parameters
    ----------
    gain_adu_per_keV : float
        ADU per keV of photon energy in the pixel; may be negative, not 0.
    pedestal_adu : float
        ADU of a dark pixel in this stage.
    readout_adu : float
        Read-out noise, ADU rms.
    switch_keV : float
        Energy in the pixel above which the next stage takes over; infinity for the last stage.
    switch_spread_keV : float
        Spread of ``switch_keV`` from pixel to pixel, keV rms, a fixed pattern.

    Raises
    ------
    InputError
        For a value that is not finite or out of its range.

    Examples
    --------
    >>> import nbragg
    >>> nbragg.GainStage(gain_adu_per_keV=40, pedestal_adu=0, readout_adu=3, switch_keV=320)
    GainStage(gain_adu_per_keV=40.0, pedestal_adu=0.0, readout_adu=3.0, switch_keV=320.0)
    """

    gain_adu_per_keV: float
    pedestal_adu: float
    readout_adu: float
    switch_keV: float = math.inf
    switch_spread_keV: float = 0.0

    def __post_init__(self) -> None:
        for name in ("gain_adu_per_keV", "pedestal_adu"):
            self._set(name, check.number(name, getattr(self, name)))
        if self.gain_adu_per_keV == 0.0:
            raise InputError("gain_adu_per_keV must not be 0")
        for name in ("readout_adu", "switch_spread_keV"):
            self._set(name, check.number(name, getattr(self, name), at_least=0))
        self._set("switch_keV", check.number("switch_keV", self.switch_keV, above=0, infinity=True))


class Levels(NamedTuple):
    """The largest and smallest number that a pixel can hold."""

    low: float
    high: float


@frozen(kw_only=True)
class DetectorResponse(ExpectedCounts, Record):
    """From photons absorbed in each pixel to the numbers that a detector writes.

    Steps, in the order in which they happen (docs/detector.md tells more).  Both kinds: ``scale``,
    ``flicker``, ``calibration`` as loss, ``psf`` before counting.  Then

    - integrating: counting of photons, ``fano``, ``psf`` after counting, ``charge_sigma_um``,
      ``calibration`` as gain, ``gain`` or ``gain_stages``, ``adc``, ``readout``, hot and dead pixels,
      digitising;
    - counting: ``charge_sigma_um`` against ``threshold``, counting of photons with ``dead_time_ns``,
      ``rate_correction``, the counter of each frame, hot and dead pixels.

    The defaults switch off all but the counting of photons.

    Parameters
    ----------
    kind : {"integrating", "counting"}
        Charge is collected and digitised, or photons above a threshold are counted one by one.
    scale : float
        The photons are multiplied by it first.
    flicker : float
        Fraction of the fluence, rms, by which the images of a series vary: one factor for a whole image.
    calibration : float
        Fraction, rms, by which pixels differ from what they are taken for: a pattern that depends on
        ``calib_seed`` only, the same in all images.
    calib_seed : int
        0 to 2^64 - 1, as every seed here.
    calibration_as : {"gain", "loss"}, optional
        Whether the pattern multiplies what was counted, or loses photons before.  None: "gain"; "loss" for
        counting, which has no gain.
    psf : {"none", "gauss", "fiber"}
        Point spread: of a phosphor or scintillator as a Gaussian, or of a fibre-optic taper, whose wings
        fall as 1/r^3.
    psf_fwhm_um : float
        Its full width at half maximum, micrometre.
    psf_stage : {"after", "before"}, optional
        Whether it spreads counted photons, which makes neighbours alike, or expected ones.  None: "after";
        "before" for counting, which has nothing else.
    psf_radius_px : float, optional
        Cuts the kernel at this distance, pixels, and makes its sum 1 again; None: the whole kernel.
    charge_sigma_um : float
        Width of the charge cloud at the electrodes, micrometre rms, about places all over a pixel.
        Integrating detectors share the mean of it between pixels; counting ones count it where it is above
        the threshold.
    threshold : float
        Of counting detectors, as a fraction of the photon's energy, above 0 and below 1.  Below 0.5 a photon
        may be counted twice; that such counts come in pairs is not modelled.
    fano : float
        Fano factor of the sensor: the charge of a photon varies by sqrt(fano pair_energy_eV / energy).
    pair_energy_eV : float
        Energy of an electron-hole pair, eV; 3.65 for silicon.
    gain : float
        ADU per photon; per keV of photon energy with ``gain_per_keV``.
    gain_per_keV : bool
    gain_stages : sequence of GainStage
        One to three, instead of ``gain``, ``readout`` and ``adc``, with switch points that rise to infinity.
    raw : bool
        With ``gain_stages``: pixels hold the stage in the two highest bits of 16 and ADU in the other 14;
        False: photons, corrected for gain and pedestal, float.
    readout : float
        Read-out noise, ADU rms.
    adc : float, optional
        Offset, ADU.  None: 40; 0 for counting and with ``gain_stages``.
    bits : {0, 8, 12, 14, 16, 20, 32}, optional
        Of the digitiser, or of the counter of one frame.  0: pixels are float, not digitised.  None: 16; 14
        with ``gain_stages``.
    signed : bool
        Numbers below 0 can be written.  Half of an integrating detector's range is then negative; a counter
        keeps its range.
    saturation : int, optional
        Pixels hold at most this, ADU or counts.  None: the largest number of ``bits``.
    overflow : {"clip", "wrap"}
        What becomes of brighter pixels: cut there, or modulo 2^bits.
    dead_fraction : float
        Fraction of pixels that see nothing, chosen by ``dead_seed``.
    dead_seed : int
    dead_map : array_like of bool, optional
        Dead pixels, True, beside those; (slow, fast), (panel, slow, fast), or of all panels one after the
        other.
    flag_dead : bool
        Dead pixels have ``mask_value``; False: what the electronics of a dark pixel give.
    hot_fraction : float
        Fraction of pixels that show at least ``hot_adu``, chosen by ``hot_seed``.
    hot_seed : int
    hot_adu : float, optional
        None: ``saturation``.
    dead_time_ns : float
        Of counting detectors, after each count, ns.
    retrigger : bool
        The counter looks again after the dead time (not paralysable); False: every photon within it makes
        it longer (paralysable).
    rate_correction : bool
        Counts are corrected for the mean loss of the dead time.
    pulsed : int, optional
        Pulses of an exposure, each shorter than the dead time: at most one count a pulse.  None: continuous.
    frames : int
        Frames that are summed into a counting detector's image; each has a counter of ``bits``, the sum 32.
    mask_value, gap_value : int, optional
        Of flagged dead pixels, and of what is not rendered: outside roi or mask.  None: 0; -2 and -1 where
        ``signed``.
    source : str
        Where the numbers come from.

    Raises
    ------
    InputError
        For a value that is not finite or out of its range, and for steps that the kind does not have.

    Examples
    --------
    >>> import nbragg
    >>> ccd = nbragg.DetectorResponse(psf="fiber", psf_fwhm_um=90, gain=1.8, readout=3, calibration=0.03)
    >>> ccd.resolved_adc, ccd.resolved_saturation
    (40.0, 65535)
    >>> ccd.replace(bits=14).resolved_saturation
    16383
    """

    kind: str = "integrating"
    scale: float = 1.0
    flicker: float = 0.0
    calibration: float = 0.0
    calib_seed: int = 123456789
    calibration_as: str | None = None
    psf: str = "none"
    psf_fwhm_um: float = 46.0
    psf_stage: str | None = None
    psf_radius_px: float | None = None
    charge_sigma_um: float = 0.0
    threshold: float = 0.5
    fano: float = 0.0
    pair_energy_eV: float = 3.65
    gain: float = 1.0
    gain_per_keV: bool = False
    gain_stages: tuple[GainStage, ...] = ()
    raw: bool = False
    readout: float = 0.0
    adc: float | None = None
    bits: int | None = None
    signed: bool = False
    saturation: int | None = None
    overflow: str = "clip"
    dead_fraction: float = 0.0
    dead_seed: int = 1234
    dead_map: npt.NDArray[np.bool_] | None = None
    flag_dead: bool = False
    hot_fraction: float = 0.0
    hot_seed: int = 5678
    hot_adu: float | None = None
    dead_time_ns: float = 0.0
    retrigger: bool = True
    rate_correction: bool = False
    pulsed: int | None = None
    frames: int = 1
    mask_value: int | None = None
    gap_value: int | None = None
    source: str = ""

    def __post_init__(self) -> None:
        self._check_words()
        self._check_numbers()
        self._check_stages()
        self._check_kind()
        self._check_levels()
        if self.dead_map is not None:
            self._set("dead_map", _map(self.dead_map))
        if not isinstance(self.source, str):
            raise InputError(f"source must be text, not {self.source!r}")

    def _check_words(self) -> None:
        for name, words in (("kind", KINDS), ("psf", PSFS), ("overflow", ("clip", "wrap"))):
            self._set(name, _word(name, getattr(self, name), words))
        for name, words in (("calibration_as", ("gain", "loss")), ("psf_stage", ("after", "before"))):
            if getattr(self, name) is not None:
                self._set(name, _word(name, getattr(self, name), words))
        for name in ("gain_per_keV", "raw", "signed", "flag_dead", "retrigger", "rate_correction"):
            self._set(name, check.flag(name, getattr(self, name)))

    def _check_numbers(self) -> None:
        for name in ("scale", "flicker", "calibration", "fano", "readout"):
            self._set(name, check.number(name, getattr(self, name), at_least=0))
        for name, widest in (("psf_fwhm_um", 1e6), ("charge_sigma_um", 1e3)):
            self._set(name, check.number(name, getattr(self, name), at_least=0, at_most=widest))
        for name in ("gain", "pair_energy_eV"):
            self._set(name, check.number(name, getattr(self, name), above=0))
        self._set("dead_time_ns", check.number("dead_time_ns", self.dead_time_ns, at_least=0))
        self._set("threshold", check.number("threshold", self.threshold, above=0, at_most=1))
        if self.threshold == 1.0:
            raise InputError("threshold must be below 1: no photon has more than its whole charge")
        for name in ("dead_fraction", "hot_fraction"):
            self._set(name, check.number(name, getattr(self, name), at_least=0, at_most=1))
        for name in ("adc", "hot_adu"):
            self._set(name, check.optional_number(name, getattr(self, name)))
        self._set(
            "psf_radius_px",
            check.optional_number("psf_radius_px", self.psf_radius_px, at_least=0, at_most=5000),
        )
        for name in ("calib_seed", "dead_seed", "hot_seed"):
            self._set(name, check.count(name, getattr(self, name), at_least=0, at_most=_LARGEST_SEED))
        self._set("pulsed", check.optional_count("pulsed", self.pulsed))
        self._set("frames", check.count("frames", self.frames))

    def _check_stages(self) -> None:
        stages = self.gain_stages
        if not isinstance(stages, (tuple, list)):
            raise InputError(f"gain_stages must be a sequence of GainStage, not {stages!r}")
        for i, stage in enumerate(stages):
            if not isinstance(stage, GainStage):
                raise InputError(f"gain_stages[{i}] must be a GainStage, not a {type(stage).__name__}")
        self._set("gain_stages", tuple(stages))
        if not stages:
            if self.raw:
                raise InputError("raw=True writes the stage of each pixel: give gain_stages")
            return
        if len(stages) > 3:
            raise InputError(f"gain_stages: {len(stages)} were given; 1 to 3 were expected")
        points = [stage.switch_keV for stage in stages]
        if points[-1] != math.inf or any(not a < b for a, b in itertools.pairwise(points)):
            raise InputError(
                f"gain_stages: switch_keV must rise to infinity, which is the last stage's, not {points}"
            )
        self._refuse(_WITHOUT_STAGES, "gain_stages have their own: leave it out")
        if self.adc not in (None, 0.0):
            raise InputError("adc has no effect with gain_stages, which have their own pedestals")

    def _check_kind(self) -> None:
        if self.kind == "integrating":
            self._refuse(_COUNTING_ONLY, 'only a counting detector has it: give kind="counting"')
            return
        self._refuse(_INTEGRATING_ONLY, "a counting detector has none: leave it out")
        for name, only in (("calibration_as", "loss"), ("psf_stage", "before"), ("adc", 0.0)):
            if getattr(self, name) not in (None, only):
                raise InputError(f"{name} = {getattr(self, name)!r}: a counting detector has {only!r} only")
        if self.pulsed is not None and (self.dead_time_ns or self.rate_correction):
            raise InputError(
                "pulsed counts at most one photon a pulse whatever the dead time: leave out dead_time_ns and "
                "rate_correction"
            )
        if self.rate_correction and not self.dead_time_ns:
            raise InputError("rate_correction needs dead_time_ns, whose loss it corrects")

    def _check_levels(self) -> None:
        if self.bits is not None:
            if self.bits not in BITS or isinstance(self.bits, bool):
                raise InputError(f"bits must be one of {', '.join(map(str, BITS))}, not {self.bits!r}")
            self._set("bits", int(self.bits))
        if self.raw and not 0 < self.resolved_bits <= STAGED_BITS:
            raise InputError(f"bits = {self.bits}: raw=True has {STAGED_BITS} bits beside the stage's two")
        levels = self.levels
        if self.saturation is not None:
            if not self.resolved_bits:
                raise InputError("saturation has no effect with bits=0, which digitises nothing")
            most = int(levels.high)
            self._set("saturation", check.count("saturation", self.saturation, at_most=most))
        if not self.resolved_bits:
            if self.overflow == "wrap":
                raise InputError('overflow="wrap" has no effect with bits=0, which digitises nothing')
            if self.hot_fraction and self.hot_adu is None:
                raise InputError("hot_fraction with bits=0, where nothing saturates: give hot_adu")
        negative = self.signed or self.pixel_kind == "f"
        for name in ("mask_value", "gap_value"):
            value = getattr(self, name)
            if value is not None:
                low, high = (-(2**31), 2**31 - 1) if negative else (0, 2**32 - 1)
                high = 2**16 - 1 if self.raw else high
                self._set(name, check.count(name, value, at_least=low, at_most=high))

    def _refuse(self, unused: dict[str, Any], reason: str) -> None:
        for name, without in unused.items():
            value = getattr(self, name)
            if value != without:
                raise InputError(f"{name} = {value!r}: {reason}")

    @classmethod
    def preset(cls, name: str, energy_eV: float | None = None, **changes: Any) -> DetectorResponse:
        """The response of a detector by name.

        Numbers are those that were found; ``source`` says where, and what was not found or not verified.
        Confirm them with the facility before they are taken for the truth.

        Parameters
        ----------
        name : str
            "pilatus", "pilatus4", "eiger", "eiger2", "jungfrau", "jungfrau_fixed", "epix10k",
            "epix10k_medium", "epix10k_fixed", "agipd", "cspad" or "rayonix".
        energy_eV : float, optional
            Of a photon: turns a gain per keV into one per photon, for which photons need no energy later.
            None, and for detectors that count or switch their gain: as it is.
        **changes
            Fields to have another value; for "agipd", whose gains were not found, ``gain_stages`` too.

        Raises
        ------
        InputError
            For a name that there is not, without what is not known, and as the record.

        Examples
        --------
        >>> import nbragg
        >>> eiger = nbragg.DetectorResponse.preset("eiger2", dead_time_ns=100)
        >>> eiger.kind, eiger.resolved_saturation
        ('counting', 65535)
        >>> [stage.gain_adu_per_keV for stage in nbragg.DetectorResponse.preset("jungfrau").gain_stages]
        [40.0, 1.0, 0.1]
        """
        found, fields = fields_of(name, energy_eV)
        missing = [field for field in found.needs if field not in changes]
        if missing:
            raise InputError(f"response {name!r}: {', '.join(missing)} not known: give them")
        if found.stages:
            names = list(GainStage.__dataclass_fields__)
            fields["gain_stages"] = tuple(
                GainStage(**dict(zip(names, stage, strict=False))) for stage in found.stages
            )
        return cls(**fields | changes)

    # ---- what None stands for ------------------------------------------------------------------------------

    @property
    def is_counting(self) -> bool:
        """Whether photons are counted one by one."""
        return self.kind == "counting"

    @property
    def resolved_bits(self) -> int:
        """Bits of the digitiser or counter; 0: none."""
        return (STAGED_BITS if self.gain_stages else 16) if self.bits is None else self.bits

    @property
    def resolved_adc(self) -> float:
        """Offset, ADU."""
        if self.adc is not None:
            return self.adc
        return 0.0 if self.is_counting or self.gain_stages else 40.0

    @property
    def resolved_calibration_as(self) -> str:
        """ "gain" or "loss"."""
        return self.calibration_as or ("loss" if self.is_counting else "gain")

    @property
    def resolved_psf_stage(self) -> str:
        """ "after" or "before" counting."""
        return self.psf_stage or ("before" if self.is_counting else "after")

    @property
    def levels(self) -> Levels:
        """The smallest and largest number of the digitiser, or of the counter of one frame."""
        bits = self.resolved_bits
        if not bits:
            return Levels(-math.inf, math.inf)
        if self.is_counting:  # a sign makes room for flags, not for negative counts
            return Levels(0, 2 ** min(bits, 31 if self.signed else 32) - 1)
        return Levels(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if self.signed else Levels(0, 2**bits - 1)

    @property
    def pixel_kind(self) -> str:
        """ "u" or "i" where pixels are whole numbers without and with a sign, "f" where they are float."""
        if not self.resolved_bits or (self.gain_stages and not self.raw):
            return "f"
        return "i" if self.signed and not self.raw else "u"

    @property
    def pixel_dtype(self) -> np.dtype[Any]:
        """The smallest type that holds every pixel: whole numbers of 8, 16 or 32 bits, or float32."""
        if self.pixel_kind == "f":
            return np.dtype(np.float32)
        if self.raw:
            return np.dtype(np.uint16)
        values = [*self.levels, self.resolved_mask_value, self.resolved_gap_value]
        if self.frames > 1:  # sums
            values.append(2**31 - 1 if self.signed else 2**32 - 1)
        for bits in (8, 16, 32):
            low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if self.signed else (0, 2**bits - 1)
            if low <= min(values) and max(values) <= high and (bits > 8 or not self.signed):
                return np.dtype(f"{self.pixel_kind}{bits // 8}")
        raise AssertionError("levels and flags fit 32 bits")

    @property
    def resolved_saturation(self) -> float:
        """The largest number that a pixel holds, ADU, or counts of one frame; infinity with ``bits=0``."""
        return self.levels.high if self.saturation is None else self.saturation

    @property
    def resolved_hot_adu(self) -> float:
        """What a hot pixel shows at least, ADU or counts."""
        return float(self.resolved_saturation) if self.hot_adu is None else self.hot_adu

    @property
    def resolved_mask_value(self) -> int:
        """Of flagged dead pixels; below 0 as a Pilatus has them."""
        return (-2 if self.signed else 0) if self.mask_value is None else self.mask_value

    @property
    def resolved_gap_value(self) -> int:
        """Of pixels that are not rendered."""
        return (-1 if self.signed else 0) if self.gap_value is None else self.gap_value


def _word(name: str, value: Any, words: tuple[str, ...]) -> str:
    if isinstance(value, str) and value not in words:
        raise InputError(f"{name} = {value!r}{suggestion(value, words)}")
    return check.choice(name, value, words)


def _map(value: Any) -> npt.NDArray[np.bool_]:
    """A read-only copy of a map of pixels."""
    array = np.asarray(value)
    if array.dtype.kind not in "biu" or array.ndim not in (1, 2, 3) or not array.size:
        raise InputError(
            "dead_map must be an array of bool, (slow, fast) or (panel, slow, fast), not "
            f"{array.dtype} of shape {array.shape}"
        )
    result: npt.NDArray[np.bool_] = np.array(array != 0, order="C")
    result.setflags(write=False)
    return result
