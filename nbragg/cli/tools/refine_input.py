"""What ``nbragg refine`` and ``nbragg information`` are given: noise, starts, images, what is known."""

from __future__ import annotations

import argparse
import dataclasses
import math
import re
import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ...base import validate as check
from ...base.errors import InputError
from ...base.names import suggestion
from .common import setup_from
from .refine_images import Source, pair

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ...inverse.noise import Noise
    from ...model.detector import Detector
    from ...model.setup import Setup
    from ...simulation.experiments import Experiments

__all__ = [
    "BACKGROUNDS",
    "Start",
    "add_noise_arguments",
    "background_from",
    "bounds_from",
    "mask_from",
    "noise_from",
    "percent_from",
    "sigmas_from",
    "vary_from",
]

_NOISE = ("readout", "gain", "flicker", "kind")
#: as `nbragg.refine` takes them
BACKGROUNDS = ("constant", "plane", "radial", "none")


def add_noise_arguments(parser: argparse.ArgumentParser) -> None:
    """Let the parser take the noise of data."""
    parser.add_argument(
        "--noise",
        nargs="+",
        default=[],
        metavar="NAME=X",
        help="readout=X (sigma, in the data's units), gain=X (units per photon), flicker=X (part of the "
        "intensity), kind=auto|poisson|gaussian; default: photons that are counted",
    )
    parser.add_argument("--threads", type=int, metavar="N", help="default: every core")


def _pairs(option: str, words: Iterable[str], form: str) -> list[tuple[str, str]]:
    """NAME=VALUE; a name may hold = itself, as ``crystal.cell.a=b`` does."""
    found = []
    for word in words:
        name, equals, value = word.rpartition("=")
        if not equals or not name or not value:
            raise InputError(f"{option} {word}: {form} was expected")
        found.append((name, value))
    return found


def _number(option: str, text: str) -> float:
    try:
        return check.number(option, float(text))
    except ValueError:
        raise InputError(f'{option}: "{text}" is not a number') from None


def noise_from(words: Sequence[str]) -> Noise:
    """The noise that words like ``readout=3`` say."""
    from ...inverse.noise import Noise

    fields: dict[str, Any] = {}
    for name, value in _pairs("--noise", words, "NAME=VALUE, readout=3 say,"):
        if name not in _NOISE:
            raise InputError(f"--noise has no {name!r}{suggestion(name, _NOISE)}")
        fields[name] = value if name == "kind" else _number(f"--noise {name}", value)
    return Noise(**fields)


def background_from(word: str) -> str | float:
    """A kind of background, or photons a pixel."""
    if word in BACKGROUNDS:
        return word
    try:
        return check.number("--background", float(word), at_least=0)
    except ValueError:
        raise InputError(
            f"--background {word}: photons a pixel were expected, or a kind{suggestion(word, BACKGROUNDS)}"
        ) from None


def sigmas_from(option: str, words: Sequence[str], setup: Setup, free: Sequence[str]) -> dict[str, float]:
    """Standard deviations by name, absolute or, with %, as a part of each value of the set-up."""
    from ...scene.parameters import expand

    found: dict[str, float] = {}
    known = {p.name: p.value for p in expand(free, setup)}
    for name, value in _pairs(option, words, "NAME=SIGMA or NAME=PERCENT%"):
        if not value.endswith("%"):
            found[name] = check.number(f"{option} {name}", _number(option, value), above=0)
            continue
        part = check.number(f"{option} {name}", _number(option, value[:-1]), above=0) / 100
        members = (name,) if name in known else tuple(p.name for p in expand((name,), setup))
        inside = [one for one in members if one in known]
        if not inside:
            raise InputError(f"{option} names {name!r}, which is not free{suggestion(name, known)}")
        for one in inside:
            if known[one] == 0:
                raise InputError(f"{option} {name}={value}: {one} is 0, of which {value} is nothing")
            found[one] = part * abs(known[one])
    return found


def percent_from(option: str, word: str | None) -> float:
    """PERCENT% as a part of 1; infinite where nothing is known."""
    if word is None:
        return math.inf
    if not word.endswith("%"):
        raise InputError(f"{option} {word}: a part in percent was expected, 20% say")
    return check.number(option, _number(option, word[:-1]), above=0) / 100


def bounds_from(words: Sequence[str]) -> dict[str, tuple[float, float]]:
    """NAME=LOW:HIGH."""
    found = {}
    for name, value in _pairs("--bounds", words, "NAME=LOW:HIGH"):
        low, colon, high = value.partition(":")
        if not colon:
            raise InputError(f"--bounds {name}={value}: NAME=LOW:HIGH was expected")
        found[name] = (_number("--bounds", low), _number("--bounds", high))
    return found


# ---- starts ----


class Start:
    """Where a refinement begins: one set-up for all images, or one for each.

    Parameters
    ----------
    arguments : Namespace
        With ``start``, ``recipe`` and ``command_line``.

    Attributes
    ----------
    first : Setup
        Of the first image, whose detector that of the others is like.

    Raises
    ------
    InputError
        For no start, and more than one.
    """

    def __init__(self, arguments: argparse.Namespace) -> None:
        given: list[str] = arguments.start or []
        listed = [path for path in given if path.lower().endswith(".expt")]
        self._path = ""
        self._experiments: Experiments | None = None
        if not given:
            setup = setup_from(arguments, needed=False)
            if setup is None:
                raise InputError("no start: give --start FILE, or -- and a nanobragg command line")
            self._setups = [setup]
        elif not listed:
            if arguments.command_line is not None or arguments.recipe is not None:
                raise InputError("--start, --recipe and -- each say a whole set-up: give one of them")
            self._setups = [_recipe(path) for path in given]
        elif len(given) > 1:
            raise InputError(
                f"--start takes one .expt, which holds an experiment for each image, not {len(given)}"
            )
        else:
            self._of_experiments(arguments, listed[0])
        self.first = self._setups[0]

    def _of_experiments(self, arguments: argparse.Namespace, path: str) -> None:
        """Cell, orientation, detector and beam from the file; the rest from a recipe or a command line."""
        from ...simulation.experiments import read_experiments

        experiments = read_experiments(path)
        self._path, self._experiments = path, experiments
        words: list[str] | None = arguments.command_line
        self._has_words = words is not None and arguments.recipe is None
        if words is not None and arguments.recipe is None:
            from ..commandline import from_cli

            with warnings.catch_warnings():  # of several experiments it takes the first; here all are used
                warnings.filterwarnings("ignore", message=".*the first is taken")
                self._base = from_cli(["-expt", path, *words])
        else:
            found = setup_from(arguments)
            if found is None:
                raise InputError(
                    f"{path} says neither structure factors nor the size of the crystal: give --recipe FILE, "
                    "or -- and a nanobragg command line without cell and detector: -hkl FILE -N 20 -physics "
                    "exact"
                )
            self._base = found
        self._setups = [self._joined(experiments, 0, 0)]

    def _joined(self, experiments: Experiments, shot: int, image: int) -> Setup:
        setup = _joined(self._base, experiments, shot, image)
        if not self._has_words:
            return setup
        first = experiments[0].geometry.detector  # the command line's options say more of it: sensors, a mask
        return setup.replace(detector=_said_more(setup.detector, first, self._base.detector))

    def of(self, sources: Sequence[Source]) -> tuple[list[Source], list[Setup], list[str]]:
        """Images that have a start, the start of each, and what there is to say of the others."""
        if self._experiments is not None:
            found = pair(self._path, self._experiments, sources)
            setups = [self._joined(self._experiments, *place) for place in found.places]
            return found.sources, setups, found.said
        count = len(self._setups)
        if count not in (1, len(sources)):
            raise InputError(f"{count} starts and {len(sources)} images: give as many, or one start for all")
        return list(sources), self._setups * (len(sources) if count == 1 else 1), []


def _said_more(detector: Detector, first: Detector, base: Detector) -> Detector:
    """A detector of the file, with what options changed of the first one."""
    if detector == first:
        return base
    parts = [one.panels or () for one in (detector, first, base)]
    if len({len(panels) for panels in parts}) > 1:
        return detector
    panels = [one.replace(**_changes(before, after)) for one, before, after in zip(*parts, strict=True)]
    return detector.replace(**_changes(first, base) | {"panels": tuple(panels)})


def _changes(before: Any, after: Any) -> dict[str, Any]:
    """Fields of a record in which another differs."""
    found = {}
    for field in dataclasses.fields(before):
        old, new = getattr(before, field.name), getattr(after, field.name)
        try:
            same = bool(old == new)
        except ValueError:  # arrays
            same = False
        if not same:
            found[field.name] = new
    return found


def _recipe(path: str) -> Setup:
    from ...io import recipe
    from ...model.setup import Setup

    setup = recipe.load(path)
    if not isinstance(setup, Setup):
        raise InputError(f"{path} holds a {type(setup).__name__}; a whole set-up was expected")
    return setup


#: what an experiment says of a beam
_BEAM = ("wavelength_A", "beam_vector", "polarization", "polar_vector", "nopolar", "polarization_azimuth_deg")
#: and of a crystal
_CRYSTAL = (
    "structure_factors", "a_matrix", "cell", "orientation", "misset_deg", "misset_seed", "rotation_deg",
    "spindle_axis", "phi_deg", "osc_deg",
)  # fmt: skip


def _own(record: Any, said: Sequence[str]) -> dict[str, Any]:
    """Fields that are set and that the file does not say."""
    found = {}
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        default = field.default if field.default_factory is dataclasses.MISSING else None
        try:
            usual = bool(value == default)
        except ValueError:  # arrays
            usual = False
        if field.name not in said and not usual:
            found[field.name] = value
    return found


def _joined(base: Setup, experiments: Experiments, shot: int, image: int) -> Setup:
    beam = _own(base.beam, _BEAM)
    if base.beam.flux:
        beam |= {name: getattr(base.beam, name) for name in ("flux", "exposure_s", "beamsize_mm")}
    elif base.beam.fluence is not None:
        beam["fluence"] = base.beam.fluence
    said = [
        name for name in _CRYSTAL if experiments[0].scan is not None or name not in ("phi_deg", "osc_deg")
    ]
    found = experiments.setup(
        base.crystal.structure_factors,
        shot=shot,
        image=image,
        physics=base.physics,
        **_own(base.crystal, said),
        **beam,
    )
    parts: dict[str, Any] = {"files": base.files, "response": base.response}
    parts |= {name: getattr(base, name) for name in ("sampling", "backgrounds", "surroundings")}
    return _with_cells(found.replace(**parts))


def _with_cells(setup: Setup) -> Setup:
    """Crystals by cell and orientation instead of by their matrices, so that ``crystal.cell`` can be free."""
    import numpy as np

    from ...base.unit_cell import standard_reciprocal_axes

    crystals = []
    for crystal in setup.sample.crystals:
        crystals.append(crystal)
        if crystal.a_matrix is None or crystal.cell is not None:
            continue
        matrix = np.asarray(crystal.a_matrix)
        axes = np.linalg.inv(matrix)
        edges = np.linalg.norm(axes, axis=1)
        cosines = (axes / edges[:, np.newaxis]) @ (axes / edges[:, np.newaxis]).T
        angles = np.degrees(np.arccos(cosines[[1, 0, 0], [2, 2, 1]]))
        a, b, c, alpha, beta, gamma = (float(x) for x in (*edges, *angles))
        cell = (a, b, c, alpha, beta, gamma)
        standard = standard_reciprocal_axes(cell, exact=setup.rules.true_cell)
        left, _, right = np.linalg.svd(matrix @ np.linalg.inv(standard.T))
        turn = left @ right
        if np.abs(turn @ standard.T - matrix).max() < 1e-9 * np.abs(matrix).max() and np.linalg.det(turn) > 0:
            crystals[-1] = crystal.replace(a_matrix=None, cell=cell, orientation=turn)
    return setup.replace(sample=setup.sample.replace(crystals=tuple(crystals)))


# ---- images ----


def mask_from(path: str | None, shape: tuple[int, ...]) -> NDArray[np.bool_] | None:
    """True where pixels count; None without a file."""
    if path is None:
        return None
    import numpy as np

    from ...io import images

    if len(shape) == 2:
        return np.asarray(images.read_mask(path, shape=(shape[0], shape[1])) != 0)
    used = images.read_image(path, frame=None).image > 0
    if used.shape != shape:
        raise InputError(f"mask {path} has the shape {used.shape}; the detector's is {shape}")
    return np.asarray(used)


def vary_from(words: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """NAME LOW:HIGH[:COUNT] ...: values of each name."""
    from ...refinement.planning import POINTS, spread

    if len(words) % 2:
        raise InputError(f"--vary {' '.join(words)}: NAME LOW:HIGH[:COUNT] was expected, for each name")
    found: dict[str, NDArray[np.float64]] = {}
    for name, text in zip(words[::2], words[1::2], strict=True):
        parts = text.split(":")
        if len(parts) not in (2, 3) or re.fullmatch(r"\d+", parts[-1] if len(parts) == 3 else "1") is None:
            raise InputError(
                f"--vary {name} {text.strip()}: LOW:HIGH or LOW:HIGH:COUNT was expected, 80:300 say"
            )
        if name in found:
            raise InputError(f"--vary names {name} twice")
        low, high = (_number(f"--vary {name}", part) for part in parts[:2])
        count = int(parts[2]) if len(parts) == 3 else POINTS
        if count < 3:
            raise InputError(f"--vary {name} {text}: at least 3 values are needed, not {count}")
        found[name] = spread(low, high, count)
    return found
