"""How one pixel came about: every sample with every intermediate value (canonical 6 to 8).

The engine's own scalar functions compute the table, so that its sum is the pixel.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import _engine
from ..base import memory
from ..base.errors import InputError
from ..engine.backdrop import direct_beam_of, wanted
from ..engine.backend import RenderOptions, backend
from ..engine.cpu import choose_isa

if TYPE_CHECKING:
    from ..scene.record import Scene

__all__ = ["F_KINDS", "PixelTrace", "trace_pixel"]

#: nb_trace_row of csrc/nb_trace.h, and what is worked out of it
_ROW = np.dtype([*_engine.TRACE_ROW_DTYPE.descr, ("phi_step", "i8"), ("domain", "i8")])

#: where F_cell is from, by the field F_kind
F_KINDS = tuple(text for _, text in sorted(_engine.F_KINDS.items()))

#: samples turned into text at a time
_BLOCK = 4096


@dataclass(frozen=True, eq=False)
class PixelTrace:
    """One pixel, sample by sample.

    Attributes
    ----------
    slow, fast, panel : int
        The pixel.
    samples : structured ndarray (n,)
        One record per sample, in the order of canonical 6.1; SI units.

        ``panel``, ``layer``, ``sub_slow``, ``sub_fast``, ``source``, ``crystal``, ``orientation``
            Which sample; ``orientation`` indexes those of ``scene.crystals[crystal]``.
        ``phi_step``, ``domain``
            The orientation's rotation step and mosaic domain.
        ``position`` (3,), ``R``
            Laboratory position and its length, m.
        ``omega``, ``capture``, ``polarization``
            Solid angle (sr), fraction absorbed in the layer and Kahn factor of this very sample, whether they
            are used per sample or not.
        ``wavelength``, ``weight``
            Of the source; m.
        ``share``
            What the orientation counts for: its weight and its crystal's.
        ``q`` (3,), ``stol``
            Scattering vector and half its length, 1/m.
        ``kept``
            0 where dmin excludes the sample.
        ``abc`` (3, 3)
            Rows a, b, c, m.
        ``hkl`` (3,), ``hkl0`` (3,)
            Indices and the nearest whole ones.
        ``F_kind``, ``F_cell``
            Index into `F_KINDS`, and the structure factor, electrons.
        ``F_latt``
            Lattice factor without its sign.
        ``term``, ``running_sum``
            What the sample adds, and the sum so far, with what it started from.
    start : float
        The sum before the first sample (water inside the sum, canonical 8).
    scale : float
        r_e^2 fluence / steps.
    omega, polarization, capture : float
        Factors taken once for the pixel; 1 for those taken per sample.
    water : float
        Photons added after the sum (canonical 11).
    transmission : float
        Share of the light from the sample that arrives; 1 where nothing is in its way.
    background : float
        Photons of amorphous material and of curves, else 0.
    pixel : float
        ``(scale * samples["running_sum"][-1] * omega * polarization * capture + water) * transmission +
        background``, photons.
    """

    slow: int
    fast: int
    panel: int
    samples: NDArray[np.void]
    start: float
    scale: float
    omega: float
    polarization: float
    capture: float
    water: float
    transmission: float
    background: float
    pixel: float

    def summary(self) -> list[str]:
        """The last sample and the way from the sum to the pixel (canonical 10.5), as lines of text."""
        last = self.samples[-1]
        total = float(last["running_sum"])
        cell = np.asarray(last["abc"]) * 1e10
        return [
            f"pixel fast {self.fast} slow {self.slow}: {len(self.samples)} samples, the last one:",
            f"  stol          {_number(last['stol'] * 1e-10)} 1/A  (d = {_number(0.5e10 / last['stol'])} A)"
            if last["stol"] > 0
            else "  stol          0 1/A",
            f"  position      {_numbers(last['position'] * 1e3)} mm",
            f"  h k l         {_numbers(last['hkl'])}",
            f"  h0 k0 l0      {_numbers(last['hkl0'])}",
            f"  F_cell        {_number(last['F_cell'])}  ({F_KINDS[int(last['F_kind'])]})",
            f"  F_latt        {_number(last['F_latt'])}",
            f"  I             {_number(total)}",
            f"  I/steps       {_number(total * self.scale)} photons/sr",
            f"  polarization  {_number(last['polarization'])}  (for the pixel {_number(self.polarization)})",
            f"  omega         {_number(last['omega'])} sr  (for the pixel {_number(self.omega)})",
            f"  capture       {_number(last['capture'])}  (for the pixel {_number(self.capture)})",
            *([f"  water         {_number(self.water)} photons"] if self.water else []),
            *([f"  transmission  {_number(self.transmission)}"] if self.transmission != 1 else []),
            *([f"  background    {_number(self.background)} photons"] if self.background else []),
            f"  pixel         {_number(self.pixel)} photons",
            "  cell vectors (A)        x             y             z",
            *(
                f"    {name}        " + " ".join(f"{x:13.8f}" for x in row)
                for name, row in zip("abc", cell, strict=True)
            ),
        ]

    def table(self) -> Iterator[str]:
        """The samples as lines of text: three lines of heading, then one for each sample."""
        yield f"samples of pixel fast {self.fast} slow {self.slow}"
        yield " ".join(title.rjust(width) for title, _, width, _ in _COLUMNS)
        yield " ".join(unit.rjust(width) for _, unit, width, _ in _COLUMNS)
        for row in self.samples:
            yield " ".join(text(row).rjust(width) for _, _, width, text in _COLUMNS)

    def json_lines(self) -> Iterator[str]:
        """One JSON object for each sample, SI units, keys as the fields; a last one for the whole pixel."""
        names = self.samples.dtype.names or ()
        head = {"fast": self.fast, "slow": self.slow}
        for first in range(0, len(self.samples), _BLOCK):
            block = self.samples[first : first + _BLOCK]
            columns = [block[name].tolist() for name in names]
            for values in zip(*columns, strict=True):
                record = dict(zip(names, values, strict=True))
                record["F_kind"] = F_KINDS[record["F_kind"]]
                record["kept"] = bool(record["kept"])
                yield json.dumps({**head, **record}, allow_nan=False)
        whole = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "samples"}
        yield json.dumps({**whole, "samples": len(self.samples)}, allow_nan=False)


def _number(value: Any) -> str:
    return f"{float(value) + 0.0:.10g}"


def _numbers(values: Sequence[Any] | NDArray[Any]) -> str:
    return " ".join(_number(v) for v in values)


def _scaled(field: str, index: int | None, factor: float, digits: int) -> Any:
    def text(row: Any) -> str:
        value = row[field] if index is None else row[field][index]
        return f"{float(value) * factor:.{digits}g}"

    return text


def _whole(field: str, index: int | None = None) -> Any:
    return lambda row: str(int(row[field] if index is None else row[field][index]))


#: heading, unit, width and text of every column of `PixelTrace.table`
_COLUMNS: tuple[tuple[str, str, int, Any], ...] = (
    ("layer", "", 5, _whole("layer")),
    ("ss", "", 3, _whole("sub_slow")),
    ("sf", "", 3, _whole("sub_fast")),
    ("source", "", 6, _whole("source")),
    ("phi", "", 4, _whole("phi_step")),
    ("domain", "", 6, _whole("domain")),
    *((axis, "mm", 12, _scaled("position", i, 1e3, 9)) for i, axis in enumerate("xyz")),
    ("R", "mm", 12, _scaled("R", None, 1e3, 9)),
    ("omega", "sr", 13, _scaled("omega", None, 1.0, 8)),
    ("capture", "", 11, _scaled("capture", None, 1.0, 8)),
    ("wavelength", "A", 11, _scaled("wavelength", None, 1e10, 8)),
    *((f"q{axis}", "1/A", 13, _scaled("q", i, 1e-10, 8)) for i, axis in enumerate("xyz")),
    ("stol", "1/A", 12, _scaled("stol", None, 1e-10, 8)),
    ("polar", "", 11, _scaled("polarization", None, 1.0, 8)),
    *((axis, "", 13, _scaled("hkl", i, 1.0, 10)) for i, axis in enumerate("hkl")),
    *((f"{axis}0", "", 4, _whole("hkl0", i)) for i, axis in enumerate("hkl")),
    ("F_cell", "e", 12, _scaled("F_cell", None, 1.0, 8)),
    ("from", "", 13, lambda row: F_KINDS[int(row["F_kind"])].replace(" ", "_")),
    ("F_latt", "", 13, _scaled("F_latt", None, 1.0, 8)),
    ("term", "", 15, _scaled("term", None, 1.0, 10)),
    ("running_sum", "", 15, _scaled("running_sum", None, 1.0, 10)),
)


def check_pixel(scene: Scene, slow: int, fast: int, panel: int = 0) -> None:
    """Raise InputError for a pixel that is not rendered."""
    count = len(scene.panels)
    if isinstance(panel, bool) or not isinstance(panel, (int, np.integer)) or not 0 <= panel < count:
        raise InputError(f"panel {panel!r}: a whole number from 0 to {count - 1} was expected")
    place = scene.panels[panel]
    name = f"pixel slow {slow}, fast {fast}" + (f" of panel {panel}" if count > 1 else "")
    for axis, value, size in (("slow", slow, place.spixels), ("fast", fast, place.fpixels)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not 0 <= value < size:
            raise InputError(f"{name}: {axis} must be a whole number from 0 to {size - 1}")
    fmin, fmax, smin, smax = place.roi
    if not (fmin <= fast <= fmax and smin <= slow <= smax):
        raise InputError(
            f"{name} is outside the roi (fast {fmin} to {fmax}, slow {smin} to {smax}), so it is not rendered"
        )
    if place.mask is not None and not place.mask[slow, fast]:
        raise InputError(f"{name} is masked, so it is not rendered")


def trace_pixel(
    scene: Scene, slow: int, fast: int, *, panel: int = 0, cut_pixel: int | None = None
) -> PixelTrace:
    """Compute one pixel and keep every intermediate value.

    Every channel of a spectrum is taken by its own wavelength, whatever `Scene.spectral` says.

    Parameters
    ----------
    scene : Scene
        What is rendered.
    slow, fast : int
        The pixel, counted from 0.
    panel : int
        Of several panels, counted from 0.
    cut_pixel : int, optional
        Image index of the pixel where interpolation was switched off, -1 for nowhere (canonical 7.3), if
        known from a rendering; None: found out, by rendering the pixels before this one where that matters.

    Returns
    -------
    PixelTrace

    Raises
    ------
    InputError
        A pixel that is not rendered: outside the detector or the roi, or masked.
    MemoryLimitError
        More samples than fit into memory.

    Notes
    -----
    The arithmetic is double precision, and a running sum is taken sample by sample: against a double image
    the pixel agrees to rounding.

    Examples
    --------
    >>> import nbragg
    >>> crystal = nbragg.Crystal(
    ...     cell=(100, 100, 100, 90, 90, 90), N=(5, 5, 5),
    ...     structure_factors=nbragg.StructureFactors.constant(100),
    ... )
    >>> detector = nbragg.Detector(fpixels=64, spixels=64)
    >>> scene = nbragg.build_scene(nbragg.Setup(crystal, detector=detector))
    >>> trace = nbragg.trace_pixel(scene, 10, 20)
    >>> len(trace.samples), trace.samples["hkl0"][0].tolist()
    (4, [0, 2, -1])
    """
    check_pixel(scene, slow, fast, panel)
    engine = _engine.EngineScene(scene)
    count = _engine.trace_length(engine, panel)
    memory.require(
        count * (_engine.TRACE_ROW_DTYPE.itemsize + _ROW.itemsize),
        f"the table of {count} samples of a pixel",
        "trace with fewer domains, rotation steps, sources or sub-pixels",
    )
    interpolate = _before_cut(
        scene, scene.offsets[panel] + slow * scene.panels[panel].fpixels + fast, cut_pixel
    )
    rows = np.empty(count, _engine.TRACE_ROW_DTYPE)
    isa = choose_isa()
    if scene.backdrop is not None:
        packed = _engine.PackedBackdrop(scene.backdrop)
        found = _engine.behind_pixel(engine, packed, panel, fast, slow, isa)
        direct = direct_beam_of(scene.panels, scene.sources, scene.backdrop)
        if direct is not None:
            found[1] += direct[scene.offsets[panel] + slow * scene.panels[panel].fpixels + fast]
        there = zip(np.split(found, 3), wanted(scene.backdrop), strict=True)
        transmission, background, fixed = (value if wants else None for value, wants in there)
        first = scene.offsets[panel] + slow * scene.panels[panel].fpixels + fast
        engine.put_behind(transmission, background, fixed, first)
    total = _engine.trace_pixel(engine, panel, fast, slow, interpolate, isa, rows)
    samples = np.empty(count, _ROW)
    for name in rows.dtype.names or ():
        samples[name] = rows[name]
    domains = np.array([max(crystal.mosaic_domains, 1) for crystal in scene.placement.crystals])
    samples["phi_step"], samples["domain"] = np.divmod(rows["orientation"], domains[rows["crystal"]])
    return PixelTrace(slow=int(slow), fast=int(fast), panel=int(panel), samples=samples, **total)


def _before_cut(scene: Scene, pixel: int, cut_pixel: int | None) -> bool:
    """Whether interpolation is on when the pixel of an image index begins (canonical 7.3)."""
    if all(table.interpolation != "tricubic" for table in scene.tables):
        return True
    if cut_pixel is None:
        number, slow, _ = scene.place(pixel)
        fmin, fmax, smin, _ = scene.panels[number].roi
        # a panel that comes later decides nothing; nothing can be left out of one that comes before
        panels = (
            *scene.panels[:number],
            dataclasses.replace(scene.panels[number], roi=(fmin, fmax, smin, slow)),
        )
        with backend("cpu").queue(RenderOptions()) as queue:
            queue.submit(dataclasses.replace(scene, panels=panels))
            cut_pixel = queue.collect()[0].summary.cut_pixel
    return cut_pixel < 0 or pixel <= cut_pixel
