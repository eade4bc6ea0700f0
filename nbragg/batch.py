"""Many images: whatever does not change from one to the next is made once."""

from __future__ import annotations

import dataclasses
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from . import backends
from .beam import Beam
from .crystal import Crystal
from .detector import Detector
from .errors import InputError
from .result import Result
from .sampling import Sampling
from .scene import Scene, SceneParts, scene_parts
from .setup import RECORDS, Setup
from .simulation import finished

__all__ = ["Simulator", "simulate_batch"]

#: field of a record -> the record's name among the parts
_PART_OF = {field.name: name for name, kind in RECORDS.items() for field in dataclasses.fields(kind)}

Phi = float | tuple[float, float]


class Simulator:
    """A set-up, ready to render; parts are made again only when they change.

    A Simulator does not change: `replace` and `with_orientation` give another one that shares with this one
    all that stayed the same.  It can be used from several threads at once and in forked processes.

    Parameters
    ----------
    crystal, beam, detector, sampling
        What a person sets, in mm, angstrom and degrees.
    physics : {"nanobragg", "exact"}
    precision : {"double", "mixed"}
    device : str
    threads : int, optional
        See `nbragg.render`.

    Raises
    ------
    InputError, MemoryLimitError
        As `nbragg.build_scene`.

    Examples
    --------
    >>> import nbragg
    >>> factors = nbragg.StructureFactors.constant(100)
    >>> crystal = nbragg.Crystal(cell=(70, 80, 90, 90, 90, 90), N=(5, 5, 5), structure_factors=factors)
    >>> simulator = nbragg.Simulator(crystal, nbragg.Beam(), nbragg.Detector(fpixels=32, spixels=32))
    >>> turns = nbragg.random_orientations(3, seed=1)
    >>> [result.image.shape for result in simulator.render_many(orientations=turns)]
    [(32, 32), (32, 32), (32, 32)]
    """

    def __init__(
        self,
        crystal: Crystal,
        beam: Beam,
        detector: Detector,
        sampling: Sampling | None = None,
        *,
        physics: str = "nanobragg",
        precision: str | None = None,
        device: str = "cpu",
        threads: int | None = None,
    ) -> None:
        backends.get(device)  # refuses an unknown one
        options = backends.RenderOptions(precision, threads)
        sampling = Sampling() if sampling is None else sampling
        parts = scene_parts(crystal, beam, detector, sampling, physics=physics)
        self._fill(parts, options, device)

    def _fill(self, parts: SceneParts, options: backends.RenderOptions, device: str) -> None:
        self._parts, self._options, self._device = parts, options, device

    @property
    def crystal(self) -> Crystal:
        return self._parts.crystal

    @property
    def beam(self) -> Beam:
        return self._parts.beam

    @property
    def detector(self) -> Detector:
        return self._parts.detector

    @property
    def sampling(self) -> Sampling:
        return self._parts.sampling

    @property
    def physics(self) -> str:
        return self._parts.scene.physics

    @property
    def scene(self) -> Scene:
        """What the backend reads."""
        return self._parts.scene

    @property
    def setup(self) -> Setup:
        """The records and the physics, as one record."""
        return Setup(self.crystal, self.beam, self.detector, self.sampling, self.physics)

    def replace(self, **changes: Any) -> Simulator:
        """A Simulator with parts, or single fields of them, exchanged.

        Parameters
        ----------
        **changes
            ``crystal``, ``beam``, ``detector``, ``sampling``, ``physics``, or the name of any field of the
            four records (``phi_deg``, ``wavelength_A``, ``distance_mm`` ...).  ``orientation`` and
            ``misset_deg`` replace each other; ``orientation`` takes all that `Crystal.with_orientation` does.

        Raises
        ------
        InputError
            For a name that is none of these, and as the records and `nbragg.build_scene`.
        """
        parts: dict[str, Any] = {name: changes.pop(name, getattr(self, name)) for name in RECORDS}
        physics = changes.pop("physics", self.physics)
        if "orientation" in changes:
            parts["crystal"] = parts["crystal"].with_orientation(changes.pop("orientation"))
        elif "misset_deg" in changes and parts["crystal"].orientation is not None:
            changes.setdefault("orientation", None)
        fields: dict[str, dict[str, Any]] = {}
        for name, value in changes.items():
            if name not in _PART_OF:
                raise InputError(
                    f"{name} cannot be replaced: it is not crystal, beam, detector, sampling, physics or a "
                    "field of one of them"
                )
            fields.setdefault(_PART_OF[name], {})[name] = value
        for name, values in fields.items():
            parts[name] = parts[name].replace(**values)
        for name, kind in RECORDS.items():
            if not isinstance(parts[name], kind):
                raise InputError(f"{name} must be a {kind.__name__}, not a {type(parts[name]).__name__}")
        return self._like(scene_parts(**parts, physics=physics, like=self._parts))

    def with_orientation(self, orientation: Any) -> Simulator:
        """A Simulator with the crystal in another orientation; see `Crystal.with_orientation`."""
        return self.replace(orientation=orientation)

    def _like(self, parts: SceneParts) -> Simulator:
        other = object.__new__(Simulator)
        other._fill(parts, self._options, self._device)
        return other

    def render(self, *, progress: backends.Progress | None = None) -> Result:
        """Render one image; see `nbragg.render`.

        Raises
        ------
        RenderError
        """
        options = self._options if progress is None else dataclasses.replace(self._options, progress=progress)
        start = time.perf_counter()
        raw = backends.get(self._device)(self.scene, options)
        return finished(raw, self.scene, time.perf_counter() - start, self.setup)

    @overload
    def render_many(
        self,
        changes: Iterable[Any] | None = ...,
        *,
        orientations: Any = ...,
        phi: Iterable[Phi] | None = ...,
        beams: Iterable[Beam] | None = ...,
        out: None = ...,
    ) -> Iterator[Result]: ...

    @overload
    def render_many(
        self,
        changes: Iterable[Any] | None = ...,
        *,
        orientations: Any = ...,
        phi: Iterable[Phi] | None = ...,
        beams: Iterable[Beam] | None = ...,
        out: NDArray[np.float32],
    ) -> NDArray[np.float32]: ...

    def render_many(
        self,
        changes: Iterable[Any] | None = None,
        *,
        orientations: Any = None,
        phi: Iterable[Phi] | None = None,
        beams: Iterable[Beam] | None = None,
        out: NDArray[np.float32] | None = None,
    ) -> Iterator[Result] | NDArray[np.float32]:
        """Render one image for each of a series of changes to this set-up.

        Give one series or several of equal length, which are then taken side by side: with ``orientations``
        and ``beams``, each image has its own of both.

        Parameters
        ----------
        changes : iterable, optional
            Of mappings, as the arguments of `replace`, or of records (Crystal, Beam, Detector, Sampling).
        orientations : array_like or scipy Rotation or iterable, optional
            (n, 3, 3) rotation or A matrices, (n, 3) missetting angles in degrees, a stack of rotations, or
            an iterable of anything `Crystal.with_orientation` takes.
        phi : iterable, optional
            Spindle angles of the first step in degrees, or pairs (phi, osc).
        beams : iterable of Beam, optional
        out : ndarray of float32, shape (n, slow, fast), optional
            Filled with the images, in which case no memory is taken for them.

        Returns
        -------
        iterator of Result, or ``out``
            In the order of the series.  Images are rendered a few ahead of the one asked for, no more, so
            memory does not grow with their number.  An error in one image is raised in its turn.

        Raises
        ------
        InputError
            For no series or series of different lengths, for an ``out`` that does not fit, and as `replace`.
        RenderError
        """
        series = _series(changes, orientations, phi, beams)
        if out is None:
            return self._rendered(_steps(series), None)
        _check_out(out, series)
        count = sum(1 for _ in self._rendered(_steps(series), out))
        if count != len(out):
            raise InputError(f"out has room for {len(out)} images, {count} were rendered")
        return out

    def _rendered(self, steps: Iterator[dict[str, Any]], out: NDArray[np.float32] | None) -> Iterator[Result]:
        waiting: deque[Simulator] = deque()
        failure: Exception | None = None
        with backends.stream(self._device, self._options) as stream:

            def oldest() -> Result:
                simulator = waiting.popleft()
                raw, elapsed = stream.collect()
                return finished(raw, simulator.scene, elapsed, simulator.setup)

            while True:
                try:
                    step = next(steps, None)
                    if step is None:
                        break
                    simulator = self.replace(**step)
                    index = stream.submitted
                    stream.submit(
                        simulator.scene, None if out is None else _frame(out, index, simulator.scene)
                    )
                except Exception as error:
                    failure = error  # of this image: those before it come first
                    break
                waiting.append(simulator)
                if len(waiting) > stream.depth:
                    yield oldest()
            while waiting:
                yield oldest()
        if failure is not None:
            raise failure


def simulate_batch(
    crystal: Crystal,
    beam: Beam,
    detector: Detector,
    sampling: Sampling | None = None,
    *,
    changes: Iterable[Any] | None = None,
    orientations: Any = None,
    phi: Iterable[Phi] | None = None,
    beams: Iterable[Beam] | None = None,
    out: NDArray[np.float32] | None = None,
    physics: str = "nanobragg",
    precision: str | None = None,
    device: str = "cpu",
    threads: int | None = None,
) -> Iterator[Result] | NDArray[np.float32]:
    """Simulate a series of images of one set-up.

    Parameters
    ----------
    crystal, beam, detector, sampling, physics, precision, device, threads
        As `nbragg.simulate`.
    changes, orientations, phi, beams, out
        What differs from image to image, and where the images go: as `Simulator.render_many`.

    Returns
    -------
    iterator of Result, or ``out``

    Raises
    ------
    InputError, MemoryLimitError, RenderError

    Examples
    --------
    >>> import nbragg, numpy as np
    >>> factors = nbragg.StructureFactors.constant(100)
    >>> crystal = nbragg.Crystal(cell=(70, 80, 90, 90, 90, 90), N=(5, 5, 5), structure_factors=factors)
    >>> detector = nbragg.Detector(fpixels=32, spixels=32)
    >>> images = np.empty((4, 32, 32), np.float32)
    >>> images is nbragg.simulate_batch(crystal, nbragg.Beam(), detector, phi=[0, 1, 2, 3], out=images)
    True
    """
    simulator = Simulator(
        crystal,
        beam,
        detector,
        sampling,
        physics=physics,
        precision=precision,
        device=device,
        threads=threads,
    )
    if out is None:
        return simulator.render_many(changes, orientations=orientations, phi=phi, beams=beams)
    return simulator.render_many(changes, orientations=orientations, phi=phi, beams=beams, out=out)


def _series(
    changes: Iterable[Any] | None, orientations: Any, phi: Iterable[Phi] | None, beams: Iterable[Beam] | None
) -> dict[str, Iterable[Any]]:
    """The series that were given, by name."""
    if hasattr(orientations, "as_matrix"):
        matrices = np.asarray(orientations.as_matrix())
        orientations = matrices if matrices.ndim == 3 else matrices[np.newaxis]
    given = {"changes": changes, "orientations": orientations, "phi": phi, "beams": beams}
    series = {name: values for name, values in given.items() if values is not None}
    if not series:
        raise InputError("nothing to render: give changes, orientations, phi or beams")
    for name, values in series.items():
        if not isinstance(values, Iterable) or isinstance(values, (str, bytes, Mapping)):
            raise InputError(f"{name} must be a series with one entry for each image, not {values!r}")
    lengths = {name: n for name, values in series.items() if (n := _length(values)) is not None}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {n}" for name, n in lengths.items())
        raise InputError(f"the series differ in length ({listed}): give one entry of each for every image")
    return series


def _length(values: Iterable[Any]) -> int | None:
    return len(values) if isinstance(values, (Sequence, np.ndarray)) else None


def _steps(series: dict[str, Iterable[Any]]) -> Iterator[dict[str, Any]]:
    """The arguments of `Simulator.replace` for each image."""
    for entries in zip(*series.values(), strict=True):
        step: dict[str, Any] = {}
        for name, entry in zip(series, entries, strict=True):
            step.update(_MEANINGS[name](entry))
        yield step


def _any_change(entry: Any) -> dict[str, Any]:
    if isinstance(entry, Mapping):
        return dict(entry)
    for name, kind in RECORDS.items():
        if isinstance(entry, kind):
            return {name: entry}
    raise InputError(
        f"a change must be a mapping of fields, or a Crystal, Beam, Detector or Sampling, not {entry!r}"
    )


def _phi_change(entry: Any) -> dict[str, Any]:
    if np.ndim(entry) == 0:
        return {"phi_deg": entry}
    if np.shape(entry) != (2,):
        raise InputError(f"phi must be angles or pairs (phi, osc) in degrees, not {entry!r}")
    start, osc = entry
    return {"phi_deg": start, "osc_deg": osc}


_MEANINGS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "changes": _any_change,
    "orientations": lambda entry: {"orientation": entry},
    "phi": _phi_change,
    "beams": lambda entry: {"beam": entry},
}


def _check_out(out: Any, series: dict[str, Iterable[Any]]) -> None:
    if not isinstance(out, np.ndarray) or out.dtype != np.float32 or out.ndim != 3:
        given = f"{out.dtype} of shape {out.shape}" if isinstance(out, np.ndarray) else type(out).__name__
        raise InputError(f"out must be a float32 array of shape (n, slow, fast), not {given}")
    if not out.flags.writeable or (out.size and not out[0].flags.c_contiguous):
        raise InputError("out must be writable, and each of its images contiguous in C order")
    for name, values in series.items():
        n = _length(values)
        if n is not None and n != len(out):
            raise InputError(
                f"out has room for {len(out)} images and {name} has {n} entries: make them equal"
            )


def _frame(out: NDArray[np.float32], index: int, scene: Scene) -> NDArray[np.float32]:
    """The part of ``out`` that takes one image."""
    if index >= len(out):
        raise InputError(f"out has room for {len(out)} images and the series goes on: give a longer array")
    if out.shape[1:] != (scene.spixels, scene.fpixels):
        raise InputError(
            f"out holds images of {out.shape[1:]}, the detector has {(scene.spixels, scene.fpixels)} pixels "
            "(slow, fast)"
        )
    frame: NDArray[np.float32] = out[index]
    return frame
