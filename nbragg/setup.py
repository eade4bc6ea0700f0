"""Everything that decides an image, as a person sets it up, in one record."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from .beam import Beam
from .crystal import Crystal
from .detector import Detector
from .errors import InputError
from .sampling import Sampling
from .scene import PHYSICS

if TYPE_CHECKING:
    from .result import Result

__all__ = ["RECORDS", "InputFile", "Setup"]

RECORDS: dict[str, type[Any]] = {
    "crystal": Crystal,
    "beam": Beam,
    "detector": Detector,
    "sampling": Sampling,
}


class InputFile(NamedTuple):
    """A file that a command line names, and what was read from it."""

    option: str
    path: str
    content: Any


@dataclass(frozen=True)
class Setup:
    """Everything that :func:`nbragg.simulate` takes.

    Attributes
    ----------
    crystal, beam, detector, sampling : Crystal, Beam, Detector, Sampling
    physics : {"nanobragg", "exact"}
    files : tuple of InputFile
        Where parts were read from, which is no part of what they are: two set-ups are equal without it.

    Examples
    --------
    >>> import nbragg
    >>> setup = nbragg.from_cli("-cell 70 80 90 -default_F 100 -N 5 -detpixels 32")
    >>> setup == nbragg.Setup(setup.crystal, detector=setup.detector)
    True
    >>> setup.simulate().image.shape
    (32, 32)
    """

    crystal: Crystal
    beam: Beam = field(default_factory=Beam)
    detector: Detector = field(default_factory=Detector)
    sampling: Sampling = field(default_factory=Sampling)
    physics: str = "nanobragg"
    files: tuple[InputFile, ...] = field(default=(), compare=False, repr=False)

    def __post_init__(self) -> None:
        for name, kind in RECORDS.items():
            if not isinstance(getattr(self, name), kind):
                raise InputError(
                    f"{name} is a {type(getattr(self, name)).__name__}; a {kind.__name__} was expected"
                )
        if self.physics not in PHYSICS:
            raise InputError(f"physics = {self.physics!r}; one of {', '.join(PHYSICS)} was expected")

    def replace(self, **changes: Any) -> Setup:
        """A copy with some parts exchanged."""
        return dataclasses.replace(self, **changes)

    def simulate(self, **options: Any) -> Result:
        """Simulate it; options as :func:`nbragg.simulate`."""
        from .simulation import simulate

        return simulate(
            self.crystal, self.beam, self.detector, self.sampling, physics=self.physics, **options
        )
