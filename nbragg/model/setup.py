"""Everything that decides an image, as a person sets it up, in one record."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Any, NamedTuple

from ..base.errors import InputError
from ..base.names import suggestion
from ..base.records import Record, frozen
from .beam import Beam
from .crystal import Crystal
from .detector import Detector
from .physics import PHYSICS, Physics, physics_of
from .sample import ROTATION, Sample, as_sample
from .sampling import Sampling

if TYPE_CHECKING:
    from .background import Background, RadialCurve
    from .response import DetectorResponse
    from .surroundings import Surroundings

    #: what may be given for backgrounds
    Backgrounds = Sequence[Background | RadialCurve] | Background | RadialCurve

__all__ = ["RECORDS", "Backgrounds", "InputFile", "Setup", "as_setup"]

#: parts of a Setup that have fields of their own; a crystal's are changed through the sample
RECORDS: dict[str, type[Any]] = {
    "crystal": Crystal,
    "beam": Beam,
    "detector": Detector,
    "sampling": Sampling,
}

#: field of a record -> the record's name among the parts
_PART_OF = {entry.name: name for name, kind in RECORDS.items() for entry in dataclasses.fields(kind)}

_ORDER = "sample, beam, detector, sampling"


class InputFile(NamedTuple):
    """A file that a command line names, and what was read from it."""

    option: str
    path: str
    content: Any


@frozen
class Setup(Record):
    """Everything that decides an image.

    Parameters
    ----------
    sample : Sample or Crystal
    beam : Beam, optional
    detector : Detector, optional
    sampling : Sampling, optional
    physics : {"exact", "nanobragg"}
        Physics as it is, or the reference program's formulas (canonical 11).
    files : tuple of InputFile
        Where parts were read from, which is no part of what they are: two set-ups are equal without it.
    response : DetectorResponse, optional
        What the detector makes of the photons: it decides counts, never the image of photons.  None: counts
        are those of the reference program, Poisson deviates of its random stream.
    backgrounds : tuple of Background and RadialCurve, or one of them
        Scattering without a lattice, which is added to that of the crystal.
    surroundings : Surroundings, optional
        What stands in the way of the light: windows, gas, beam stops, the sample's own absorption.

    Raises
    ------
    InputError
        For a part of another kind, and an unknown physics.

    Examples
    --------
    >>> import nbragg
    >>> setup = nbragg.from_cli("-cell 70 80 90 -default_F 100 -N 5 -detpixels 32")
    >>> setup == nbragg.Setup(setup.crystal, detector=setup.detector, physics="nanobragg")
    True
    >>> setup.replace(distance_mm=80, physics="exact").detector.distance_mm
    80.0
    >>> nbragg.simulate(setup).image.shape
    (32, 32)
    """

    sample: Sample
    beam: Beam = field(default_factory=Beam)
    detector: Detector = field(default_factory=Detector)
    sampling: Sampling = field(default_factory=Sampling)
    physics: str = "exact"
    files: tuple[InputFile, ...] = field(default=(), compare=False, repr=False)
    response: DetectorResponse | None = None
    backgrounds: tuple[Background | RadialCurve, ...] = ()
    surroundings: Surroundings | None = None

    if TYPE_CHECKING:  # a Crystal is taken for a Sample, and None for a default

        def __init__(
            self,
            sample: Sample | Crystal,
            beam: Beam | None = None,
            detector: Detector | None = None,
            sampling: Sampling | None = None,
            physics: str = "exact",
            files: tuple[InputFile, ...] = (),
            response: DetectorResponse | None = None,
            backgrounds: Backgrounds = (),
            surroundings: Surroundings | None = None,
        ) -> None: ...

    def __post_init__(self) -> None:
        if not isinstance(self.sample, (Sample, Crystal)):
            raise InputError(_another_kind("sample", self.sample, "Sample or a Crystal"))
        self._set("sample", as_sample(self.sample))
        for name, kind in RECORDS.items():
            if name == "crystal":
                continue
            if getattr(self, name) is None:
                self._set(name, kind())
            elif not isinstance(getattr(self, name), kind):
                raise InputError(_another_kind(name, getattr(self, name), kind.__name__))
        self._set("physics", physics_of(self.physics).name)
        self._set("backgrounds", _backgrounds(self.backgrounds))
        self._check_optional()

    def _check_optional(self) -> None:
        """Kinds that are imported only where they are used."""
        if self.response is not None:
            from .response import DetectorResponse

            if not isinstance(self.response, DetectorResponse):
                raise InputError(_another_kind("response", self.response, "DetectorResponse"))
        if self.surroundings is not None:
            from .surroundings import Surroundings

            if not isinstance(self.surroundings, Surroundings):
                raise InputError(_another_kind("surroundings", self.surroundings, "Surroundings"))

    @property
    def crystal(self) -> Crystal:
        """The only crystal of the sample.

        Raises
        ------
        InputError
            When there are several.
        """
        if len(self.sample) != 1:
            raise InputError(
                f"the sample has {len(self.sample)} crystals: take them from setup.sample.crystals"
            )
        return self.sample.crystals[0]

    @property
    def rules(self) -> Physics:
        """The physics, resolved to what it switches."""
        return PHYSICS[self.physics]

    def replace(self, **changes: Any) -> Setup:
        """A copy with parts, or single fields of them, exchanged.

        Parameters
        ----------
        **changes
            ``sample``, ``crystal``, ``beam``, ``detector``, ``sampling``, ``physics``, ``response``,
            ``backgrounds``, ``surroundings``, ``files``, or the name of any field of the records
            (``phi_deg``, ``wavelength_A``, ``distance_mm`` ...).  ``orientation`` and ``misset_deg`` replace
            each other; ``orientation`` takes all that `Crystal.with_orientation` does, and like it leaves
            ``rotation_deg``.  Of a sample of several crystals, only fields that turn it as a whole can be
            named.

        Raises
        ------
        InputError
            For a name that is none of these, and as the records.
        """
        parts: dict[str, Any] = {}  # as given
        checked: dict[str, Any] = {}  # made from parts that are known to be valid
        fields: dict[str, dict[str, Any]] = {}
        for name, value in changes.items():
            if name == "crystal":
                parts["sample"] = value
            elif name in self.__dataclass_fields__:
                parts[name] = value
            elif name in _PART_OF:
                fields.setdefault(_PART_OF[name], {})[name] = value
            else:
                parts_and_fields = ["crystal", *self.__dataclass_fields__, *_PART_OF]
                raise InputError(
                    f"{name} cannot be replaced: it is no part of a Setup and no field of one"
                    f"{suggestion(name, parts_and_fields)}"
                )
        if "crystal" in fields:
            sample = parts.get("sample", self.sample)
            if not isinstance(sample, (Sample, Crystal)):
                raise InputError(_another_kind("sample", sample, "Sample or a Crystal"))
            checked["sample"] = _changed_sample(as_sample(sample), fields.pop("crystal"))
        for name, values in fields.items():
            part = parts.get(name, getattr(self, name))
            if not isinstance(part, RECORDS[name]):
                raise InputError(_another_kind(name, part, RECORDS[name].__name__))
            checked[name] = part.replace(**values)
        return dataclasses.replace(self, **parts | checked) if parts else self._with(**checked)


def as_setup(
    sample: Setup | Sample | Crystal,
    beam: Beam | None,
    detector: Detector | None,
    sampling: Sampling | None,
    physics: str | None,
    **more: Any,
) -> Setup:
    """A Setup as it is, or made of its parts; ``more``: of those that need not be there.

    Raises
    ------
    InputError
        For parts beside a Setup, and as `Setup`.
    """
    parts = {"beam": beam, "detector": detector, "sampling": sampling, "physics": physics, **more}
    given: dict[str, Any] = {name: value for name, value in parts.items() if value is not None}
    if not isinstance(sample, Setup):
        return Setup(sample, **given)
    return sample.replace(**given) if given else sample


def _backgrounds(given: Any) -> tuple[Background | RadialCurve, ...]:
    if given == ():
        return ()
    from .background import Background, RadialCurve

    kinds = (Background, RadialCurve)
    listed = (given,) if isinstance(given, kinds) else given
    if not isinstance(listed, (tuple, list)):
        raise InputError(
            _another_kind("backgrounds", given, "Background, a RadialCurve or a sequence of them")
        )
    for i, one in enumerate(listed):
        if not isinstance(one, kinds):
            raise InputError(_another_kind(f"backgrounds[{i}]", one, "Background or a RadialCurve"))
    return tuple(listed)


def _another_kind(name: str, given: object, kind: str) -> str:
    order = f" (the order is {_ORDER})" if isinstance(given, (Sample, *RECORDS.values())) else ""
    return f"{name} must be a {kind}, not a {type(given).__name__}{order}"


def _changed_sample(sample: Sample, changes: dict[str, Any]) -> Sample:
    """The sample with fields of its crystal, or of all of them, changed."""
    several = [name for name in changes if name not in ROTATION]
    if several and len(sample) > 1:
        raise InputError(
            f"{', '.join(several)}: the sample has {len(sample)} crystals; give another sample, or change "
            f"what turns it as a whole ({', '.join(ROTATION)})"
        )
    # what turns the sample is changed in all of its crystals alike
    return sample._with(
        crystals=tuple(_changed_crystal(crystal, dict(changes)) for crystal in sample.crystals)
    )


def _changed_crystal(crystal: Crystal, changes: dict[str, Any]) -> Crystal:
    if "orientation" in changes:
        crystal = crystal.with_orientation(changes.pop("orientation"))
        return crystal.replace(**changes) if changes else crystal
    if "misset_deg" in changes and crystal.orientation is not None:
        changes["orientation"] = None
    return crystal.replace(**changes)
