"""``-spectrum``: a file, or a shape in words, from and to the command line (beyond 15.1)."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..base.errors import FileError, InputError
from ..base.names import nearest
from ..io.files.spectra import UNITS, all_energies, spectra_in
from ..model.spectrum import Spectrum, SpectrumSeries
from .specs import Kind, read_spec
from .words import number

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .settings import Settings

__all__ = ["SpectrumInput", "check_alone", "read_option"]

#: energies over the range of shots: as many as structure factors are calculated at
_SASE_NODES = 9


class SpectrumInput(NamedTuple):
    """What ``-spectrum`` asks for."""

    text: str  #: that says it all, -spectrum_channels too
    spectrum: Spectrum  #: of the image, or of the first of a series
    file: str  #: that was read, or ""
    make: Callable[[int], Spectrum] | None = None  #: by number, where every image has its own
    image: int = 0  #: number of the first
    rows: int = 0  #: how many there are, where a file holds them
    #: of all images, where every image has its own: the same, whichever are made
    reached: Callable[[], NDArray[np.float64]] | None = None

    def energies(self, spectrum: Spectrum) -> NDArray[np.float64]:
        """Energies (n,), eV, at which structure factors are wanted: of all images that there may be.

        Parameters
        ----------
        spectrum : Spectrum
            As the beam has it, which may have been moved.
        """
        if self.reached is None:
            return spectrum.energies_eV
        moved = spectrum.energies_eV[0] - self.spectrum.energies_eV[0]
        return np.asarray(self.reached() + moved)

    def shots(self, count: int) -> SpectrumSeries | None:
        """The spectra of a series; None: all images have the one."""
        if self.make is None:
            return None
        if self.rows and self.image + count > self.rows:
            raise InputError(
                f"-spectrum {self.text} has the spectra of images 0 to {self.rows - 1}; the series goes from "
                f"{self.image} to {self.image + count - 1}"
            )
        return SpectrumSeries(count, functools.partial(_later, self.make, self.image))


def _later(make: Callable[[int], Spectrum], first: int, i: int) -> Spectrum:
    return make(first + i)


def _of_file(path: str, unit: str | None, channels: int | None, image: int) -> Spectrum:
    spectrum = Spectrum.from_file(path, unit=unit, image=image)
    return spectrum if channels is None else spectrum.rebin(channels)


def _sase(arguments: dict[str, Any], image: int) -> Spectrum:
    return Spectrum.sase(**arguments, image=image)


def _sase_energies(energy_eV: float, **arguments: Any) -> NDArray[np.float64]:
    """Evenly over what a shot may have."""
    named = {key: arguments[key] for key in ("bandwidth", "spike", "jitter") if key in arguments}
    return np.linspace(*Spectrum.sase_range(energy_eV, **named), _SASE_NODES)


class _Shape(NamedTuple):
    """A constructor in words."""

    make: Any
    energies: tuple[str, ...]  #: arguments in the order of the words, the energy first
    needed: int  #: of them
    keys: Mapping[str, str]  #: key to argument
    relative: frozenset[str] = frozenset()  #: arguments that are fractions of the energy
    instead: frozenset[str] = frozenset()  #: keys that take the place of the last word needed
    own: bool = False  #: every image has its own


_SHAPES = {
    "gauss": _Shape(
        Spectrum.gaussian,
        ("energy_eV", "fwhm_eV"),
        2,
        {"sigma": "sigma_eV", "span": "span", "nodes": "nodes"},
        instead=frozenset({"sigma"}),
    ),
    "tophat": _Shape(Spectrum.tophat, ("energy_eV", "bandwidth"), 2, {}, frozenset({"bandwidth"})),
    "pink": _Shape(Spectrum.pink, ("energy_eV", "sigma_low_eV", "sigma_high_eV"), 3, {}),
    "two_colour": _Shape(
        Spectrum.two_colour, ("energy_eV", "separation_eV", "sigma_eV"), 3, {"ratio": "ratio"}
    ),
    "sase": _Shape(
        Spectrum.sase,
        ("energy_eV", "bandwidth"),
        1,
        {"spike": "spike", "spikes": "spikes", "jitter": "jitter", "seed": "seed", "image": "image"},
        frozenset({"bandwidth", "spike", "jitter"}),
        own=True,
    ),
}
_WHOLE = {"spikes", "seed", "image", "n", "nodes"}


def read_option(text: str, channels: int | None, image: int) -> SpectrumInput:
    """The spectrum of one ``-spectrum`` and ``-spectrum_channels``.

    Parameters
    ----------
    text : str
        ``FILE``, ``FILE,unit=keV,channels=N``, or ``SHAPE:E,WIDTH[,N][,key=value]``.
    channels : int or None
    image : int
        Number of the image, for what is drawn.

    Raises
    ------
    InputError, FileError
        Naming option and word.
    """
    if channels is not None and channels < 1:
        raise InputError(f"-spectrum_channels {channels}: a whole number above 0 was expected")
    kind, colon, rest = text.partition(":")
    name = f"-spectrum {text}"
    if colon and kind in _SHAPES and not os.path.exists(text):
        if channels is not None and _gives_channels(rest, _SHAPES[kind]):
            raise InputError(f"{name} says how many channels there are: leave out -spectrum_channels")
        said = text if channels is None else f"{text},n={channels}"
        return _drawn(said, _SHAPES[kind], said.partition(":")[2], image)
    if colon and not os.path.exists(text.partition(",")[0]):
        near = nearest(kind, _SHAPES)
        hint = f"; did you mean {near}?" if near else f"; shapes are {', '.join(_SHAPES)}"
        raise FileError(f"{name}: there is no such file and no shape {kind!r}{hint}")
    head, values = (text, {}) if os.path.exists(text) else read_spec("-spectrum", text, _FILE_KEYS)
    if channels is not None:
        if "channels" in values:
            raise InputError(f"{name} says how many channels there are: leave out -spectrum_channels")
        values["channels"] = channels
        text = f"{text},channels={channels}"
    read = functools.partial(_of_file, head, values.get("unit"), values.get("channels"))
    rows = spectra_in(head)
    if not rows:
        return SpectrumInput(text, _named(name, lambda: read(values.get("image", 0))), head)
    if "image" not in values and image:
        text = f"{text},image={image}"
    number = values.get("image", image)
    reached = functools.partial(all_energies, head)
    return SpectrumInput(text, _named(name, lambda: read(number)), head, read, number, rows, reached)


_FILE_KEYS: dict[str, Kind] = {"unit": UNITS, "channels": "int", "image": "int"}


def _gives_channels(rest: str, shape: _Shape) -> bool:
    items = rest.split(",")
    return len([x for x in items if "=" not in x]) > len(shape.energies) or any(
        x.startswith(("n=", "nodes=")) for x in items
    )


def _drawn(text: str, shape: _Shape, rest: str, image: int) -> SpectrumInput:
    name = f"-spectrum {text}"
    items = rest.split(",")
    words = [item for item in items if "=" not in item]
    keyed = {item.partition("=")[0] for item in items if "=" in item}
    needed = shape.needed - len(keyed & shape.instead)
    if items[: len(words)] != words or not needed <= len(words) <= len(shape.energies) + 1:
        order = ",".join(argument.removesuffix("_eV") for argument in shape.energies)
        raise InputError(f"{name}: {text.partition(':')[0]}:{order}[,N][,key=value] was expected")
    given: dict[str, Any] = {}
    for argument, word in zip((*shape.energies, "n"), words, strict=False):
        given[argument] = word
    kinds: dict[str, Kind] = dict.fromkeys((*shape.keys, "n"), "text")
    others = ",".join([text.partition(":")[0], *items[len(words) :]])
    for key, word in read_spec("-spectrum", others, kinds)[1].items():
        argument = shape.keys.get(key, key)
        if argument in given:
            raise InputError(f"{name}: {key} is given twice")
        given[argument] = word
    energy = float(number(f"{name}: energy", given["energy_eV"], "float"))
    arguments = {key: _value(f"{name}: {key}", key, word, energy, shape) for key, word in given.items()}
    if "nodes" in arguments:
        if "n" in arguments:
            raise InputError(f"{name}: nodes are the channels: leave out n")
        arguments |= {"n": arguments.pop("nodes"), "quadrature": True}
    if not shape.own:
        return SpectrumInput(text, _named(name, lambda: shape.make(**arguments)), "")
    if "image" not in arguments and image:
        text = f"{text},image={image}"
    number_of_image = int(arguments.pop("image", image))
    make = functools.partial(_sase, arguments)
    reached = functools.partial(_sase_energies, **arguments)
    first = _named(name, lambda: make(number_of_image))
    return SpectrumInput(text, first, "", make, number_of_image, reached=reached)


def _value(name: str, argument: str, word: str, energy: float, shape: _Shape) -> float | int:
    """A number; a width in eV, or in percent of the energy where a % follows."""
    if argument in _WHOLE:
        return number(name, word, "int")
    percent = word.endswith("%")
    x = float(number(name, word.removesuffix("%"), "float"))
    width = argument in shape.relative or (argument.endswith("_eV") and argument != "energy_eV")
    if percent and not width:
        raise InputError(f"{name}: {word} is no width, which alone may be in percent")
    if percent:
        x *= 0.01 if argument in shape.relative else 0.01 * energy
    elif argument in shape.relative and energy > 0:
        x /= energy
    return x


def _named(name: str, make: Any) -> Any:
    try:
        return make()
    except FileError:
        raise
    except InputError as error:
        raise InputError(f"{name}: {error}") from None


def check_alone(settings: Settings) -> None:
    """Refuse what a spectrum takes the place of.

    Raises
    ------
    InputError
    """
    for target, option in (("dispersion_pct", "-dispersion"), ("dispersion_steps", "-dispsteps")):
        if f"beam.{target}" in settings:
            raise InputError(f"-spectrum takes the place of {option}: leave out one of them")
