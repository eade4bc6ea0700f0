"""A Setup ready to render: whatever does not change from one image to the next is made once."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from ..base.errors import InputError, NbraggWarning, RenderError
from ..engine.backend import backend
from ..engine.options import Progress, RawImage, RenderOptions
from ..model.beam import Beam
from ..model.setup import Setup, as_setup
from ..scene.build import make_scene
from ..scene.record import Scene
from ..scene.stages import Stages
from .result import Result
from .series import Columns, Phi, Series, columns_of, setups

if TYPE_CHECKING:
    from ..inverse.linearization import Linearization
    from ..model.response import DetectorResponse
    from ..model.setup import Backgrounds
    from ..model.spectrum import Spectrum
    from ..model.surroundings import Surroundings
    from .cost import Cost

__all__ = ["Simulator", "finished", "rendered", "simulate_batch"]


class Simulator:
    """A set-up, ready to render; parts are made again only when they change.

    A Simulator does not change: `replace` and `with_orientation` give another one that shares with this one
    all that stayed the same.  It can be used from several threads at once and in forked processes.

    Parameters
    ----------
    setup : Setup
    options : RenderOptions, optional
        How to render; None: the defaults.

    Attributes
    ----------
    setup : Setup
    options : RenderOptions
    scene : Scene
        What the backend reads.

    Raises
    ------
    InputError, MemoryLimitError
        As `nbragg.build_scene`.

    Examples
    --------
    >>> import nbragg
    >>> factors = nbragg.StructureFactors.constant(100)
    >>> crystal = nbragg.Crystal(cell=(70, 80, 90, 90, 90, 90), N=5, structure_factors=factors)
    >>> setup = nbragg.Setup(crystal, detector=nbragg.Detector(fpixels=32, spixels=32))
    >>> simulator = nbragg.Simulator(setup, nbragg.RenderOptions(threads=1))
    >>> turns = nbragg.random_orientations(3, seed=1)
    >>> [result.image.shape for result in simulator.render_many(orientations=turns)]
    [(32, 32), (32, 32), (32, 32)]
    """

    def __init__(self, setup: Setup, options: RenderOptions | None = None) -> None:
        if not isinstance(setup, Setup):
            raise InputError(
                f"Simulator takes a Setup, not a {type(setup).__name__}: "
                "Simulator(Setup(crystal, beam, detector))"
            )
        if not isinstance(options, (RenderOptions, type(None))):
            raise InputError(
                f"options must be RenderOptions, not a {type(options).__name__}: "
                'Simulator(setup, RenderOptions(device="cuda"))'
            )
        self.setup = setup
        self.options = RenderOptions() if options is None else options
        self._stages = Stages()
        self.scene = make_scene(setup, self._stages)

    def replace(self, **changes: Any) -> Simulator:
        """A Simulator with parts, or single fields of them, exchanged: see `Setup.replace`.

        Raises
        ------
        InputError
            As `Setup.replace` and `nbragg.build_scene`.
        """
        return self.at(self.setup.replace(**changes))

    def at(self, setup: Setup) -> Simulator:
        """A Simulator of another Setup, which shares with this one all that is alike.

        Raises
        ------
        InputError, MemoryLimitError
            As `nbragg.build_scene`.
        """
        other = object.__new__(Simulator)
        other.setup, other.options, other._stages = setup, self.options, self._stages
        other.scene = make_scene(other.setup, other._stages)
        return other

    def with_orientation(self, orientation: Any) -> Simulator:
        """A Simulator with the crystal in another orientation; see `Crystal.with_orientation`."""
        return self.replace(orientation=orientation)

    def render(self, *, progress: Progress | None = None) -> Result:
        """Render one image.

        Parameters
        ----------
        progress : callable, optional
            Instead of that of the options.

        Raises
        ------
        RenderError
            When a pixel comes out infinite or NaN, or the engine fails.
        """
        options = self.options if progress is None else self.options.replace(progress=progress)
        with backend(options.device).queue(options) as queue:
            queue.submit(self.scene)
            raw, elapsed = queue.collect()
        return finished(raw, self.scene, elapsed, self.setup)

    def cost(self) -> Cost:
        """What `render` will cost, with what would make it cheaper.

        A few pixels spread over the image are rendered with the simulator's options, until they took 0.1 s,
        or all of them did; that takes half a second as a rule.  The whole is right within a factor of 2.

        Returns
        -------
        Cost
            Samples, seconds on this machine, and advice.

        Raises
        ------
        DeviceError
            With device "cuda" where there is none.
        RenderError
            When the engine fails.

        Examples
        --------
        >>> import nbragg
        >>> setup = nbragg.from_cli("-cell 70 80 90 -default_F 100 -N 5 -detpixels 32")
        >>> nbragg.Simulator(setup).cost().samples
        4096
        """
        from .cost import cost_of

        return cost_of(self.scene, self.options)

    def linearize(
        self,
        parameters: Sequence[str] | str,
        *,
        of: str = "photons",
        precision: str | None = None,
        device: str | None = None,
    ) -> Linearization:
        """Exact first derivatives of the image by chosen parameters.

        Parameters
        ----------
        parameters : sequence of str, or str
            Names, for example ``"detector.distance_mm"`` or ``"crystal.cell.a"``, and names of groups, for
            example ``"crystal.orientation"``; a field of several numbers is a group of them.
        of : {"photons", "counts"}
            Of which image: expected photons, or what the detector of the Setup's ``response`` writes of them
            on average, which takes parameters of the response too (``"response.gain"``,
            ``"response.psf_fwhm_um"`` ...).
        precision, device : optional
            Instead of those of the options; derivatives are float64 in either precision.

        Returns
        -------
        Linearization
            Renders nothing until asked.

        Raises
        ------
        InputError
            For an unknown name (the nearest known one is given), a field that is not set, a range that is 0
            and has no width to change (a mosaic spread, say), and positions with ``shape="tophat"``.

        Notes
        -----
        Counts, look-ups and cuts are held: steps, domains, sub-pixels, the nearest reflection, ``dmin_A``.
        The derivative is that of the formulas between them.

        Examples
        --------
        >>> import nbragg
        >>> setup = nbragg.from_cli("-cell 70 80 90 -default_F 100 -N 5 -detpixels 32")
        >>> linear = nbragg.Simulator(setup).linearize(["crystal.orientation", "beam.fluence"])
        >>> gradient = linear.vjp(linear.image)  # of half the sum of the squares of the pixels
        >>> list(gradient)[-1]
        'beam.fluence'
        """
        changes = {"precision": precision, "device": device}
        given: dict[str, Any] = {name: value for name, value in changes.items() if value is not None}
        from ..inverse.linearization import Linearization  # not every image is wanted with derivatives

        options = self.options.replace(**given) if given else self.options
        return Linearization(self.setup, self.scene, options, parameters, of, self._stages)

    def moved(self, parameters: Sequence[str], values: Any, *, fold: bool = False) -> Simulator:
        """A Simulator at other values of parameters.

        Parameters
        ----------
        parameters : sequence of str
            As of `linearize`.
        values : array_like, shape (p,)
            The new value of each, in its unit; p counts the members of groups.
        fold : bool
            Take each crystal's ``rotation_deg`` up into its ``orientation`` and leave 0: the same image, and
            further rotations start from there.

        Returns
        -------
        Simulator
            ``simulator.moved(linear.parameters, linear.values + step)`` is the one after a step.

        Raises
        ------
        InputError
            For another number of values, an unknown name, and values that no set-up can have.

        Examples
        --------
        >>> import nbragg
        >>> setup = nbragg.from_cli("-cell 70 80 90 -default_F 100 -N 5 -detpixels 32 -distance 100")
        >>> nbragg.Simulator(setup).moved(["detector.distance_mm"], [80]).setup.detector.distance_mm
        80.0
        """
        from ..scene.parameters import expand, folded, moved

        found = expand(tuple(parameters), self.setup, scene=self.scene)
        numbers = np.asarray(values, np.float64)
        if numbers.shape != (len(found),):
            raise InputError(
                f"values has the shape {numbers.shape}; ({len(found)},) was expected: one for each of "
                f"{', '.join(parameter.name for parameter in found)}"
            )
        there = moved(self.setup, dict(zip(found, numbers.tolist(), strict=True)))
        return self.at(folded(there) if fold else there)

    @overload
    def render_many(
        self,
        changes: Series | Iterable[Any] | None = ...,
        *,
        orientations: Any = ...,
        phi: Iterable[Phi] | None = ...,
        beams: Iterable[Beam] | None = ...,
        spectra: Iterable[Spectrum] | None = ...,
        out: None = ...,
    ) -> Iterator[Result]: ...

    @overload
    def render_many(
        self,
        changes: Series | Iterable[Any] | None = ...,
        *,
        orientations: Any = ...,
        phi: Iterable[Phi] | None = ...,
        beams: Iterable[Beam] | None = ...,
        spectra: Iterable[Spectrum] | None = ...,
        out: NDArray[np.float32],
    ) -> NDArray[np.float32]: ...

    def render_many(
        self,
        changes: Series | Iterable[Any] | None = None,
        *,
        orientations: Any = None,
        phi: Iterable[Phi] | None = None,
        beams: Iterable[Beam] | None = None,
        spectra: Iterable[Spectrum] | None = None,
        out: NDArray[np.float32] | None = None,
    ) -> Iterator[Result] | NDArray[np.float32]:
        """Render one image for each of a series of changes to this set-up.

        Give one series or several of equal length, which are then taken side by side: with ``orientations``
        and ``beams``, each image has its own of both.

        Parameters
        ----------
        changes, orientations, phi, beams, spectra
            As of `Series`, of which this is a face; iterators are taken too.  ``changes`` may be a Series
            itself, whose own Setup then counts.
        out : ndarray of float32, shape (n, slow, fast), optional
            Filled with the images, in which case no memory is taken for them; (n, panel, slow, fast) for a
            detector of several panels.

        Returns
        -------
        iterator of Result, or ``out``
            In the order of the series.  Images are rendered a few ahead of the one asked for, no more, so
            memory does not grow with their number.  An error in one image is raised in its turn.

        Raises
        ------
        InputError
            For no series or series of different lengths, for an ``out`` that does not fit, and as
            `Setup.replace`.
        RenderError
        """
        if isinstance(changes, Series):
            columns, base = changes.columns, changes.setup
        else:
            columns, base = columns_of(changes, orientations, phi, beams, spectra), self.setup
        if out is None:
            return self._rendered(setups(base, columns), None)
        _check_out(out, columns, self.scene)
        count = sum(1 for _ in self._rendered(setups(base, columns), out))
        if count != len(out):
            raise InputError(f"out has room for {len(out)} images, {count} were rendered")
        return out

    def _rendered(self, images: Iterator[Setup], out: NDArray[np.float32] | None) -> Iterator[Result]:
        waiting: deque[tuple[Setup, Scene]] = deque()
        failure: Exception | None = None
        options = self.options.replace(progress=None)  # which a caller sees image by image
        with backend(options.device).queue(options) as queue:

            def oldest() -> Result:
                setup, scene = waiting.popleft()
                raw, elapsed = queue.collect()
                return finished(raw, scene, elapsed, setup)

            while True:
                try:
                    setup = next(images, None)
                    if setup is None:
                        break
                    scene = make_scene(setup, self._stages)
                    queue.submit(scene, None if out is None else _frame(out, queue.submitted, scene))
                except Exception as error:
                    failure = error  # of this image: those before it come first
                    break
                waiting.append((setup, scene))
                if len(waiting) > queue.depth:
                    yield oldest()
            while waiting:
                yield oldest()
        if failure is not None:
            raise failure


def rendered(scene: Scene, options: RenderOptions) -> Result:
    """A Scene's image."""
    with backend(options.device).queue(options) as queue:
        queue.submit(scene)
        raw, elapsed = queue.collect()
    return finished(raw, scene, elapsed, None)


def finished(raw: RawImage, scene: Scene, elapsed: float, setup: Setup | None) -> Result:
    """What a backend returned, checked and with its warning given.

    Raises
    ------
    RenderError
        When a pixel is infinite or NaN.
    """
    found = raw.summary
    if found.nonfinite:
        raise RenderError(
            f"{found.nonfinite} pixels are infinite or NaN, the first at "
            f"{scene.pixel_name(found.first_nonfinite)}: check fluence, structure "
            "factors and sizes for values beyond float32 (3.4e38 photons)"
        )
    if found.cut_pixel >= 0:
        warnings.warn(
            f"interpolation was switched off from pixel {scene.pixel_name(found.cut_pixel)} on: its h, k, "
            "l is within two planes of the edge of the list; give a longer list, or -nointerpolate / "
            "interpolate=False, or physics 'exact', which goes on interpolating where it can",
            NbraggWarning,
            stacklevel=4,
        )
    if scene.backdrop is not None:
        _warn_of_negative(raw, scene)
    return Result(raw, scene, elapsed, setup)


def _warn_of_negative(raw: RawImage, scene: Scene) -> None:
    """Backgrounds can take away more than there is (beyond 12.4)."""
    if not float(raw.image.min()) < 0:
        return
    flat = raw.image.reshape(-1)
    below = flat < 0
    warnings.warn(
        f"{int(below.sum())} pixels are below 0, the first at {scene.pixel_name(int(below.argmax()))}: a "
        "background's table has a negative amplitude, or a cubic that overshoots (interpolation='pchip' does "
        "not); noise cannot be drawn of them",
        NbraggWarning,
        stacklevel=5,
    )


def simulate_batch(
    sample: Any,
    beam: Any = None,
    detector: Any = None,
    sampling: Any = None,
    *,
    changes: Iterable[Any] | None = None,
    orientations: Any = None,
    phi: Iterable[Phi] | None = None,
    beams: Iterable[Beam] | None = None,
    spectra: Iterable[Spectrum] | None = None,
    out: NDArray[np.float32] | None = None,
    physics: str | None = None,
    response: DetectorResponse | None = None,
    backgrounds: Backgrounds | None = None,
    surroundings: Surroundings | None = None,
    **options: Any,
) -> Iterator[Result] | NDArray[np.float32]:
    """Simulate a series of images of one set-up.

    Parameters
    ----------
    sample, beam, detector, sampling, physics, response, backgrounds, surroundings, **options
        As `nbragg.simulate`.
    changes, orientations, phi, beams, spectra, out
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
    >>> crystal = nbragg.Crystal(cell=(70, 80, 90, 90, 90, 90), N=5, structure_factors=factors)
    >>> detector = nbragg.Detector(fpixels=32, spixels=32)
    >>> images = np.empty((4, 32, 32), np.float32)
    >>> images is nbragg.simulate_batch(crystal, nbragg.Beam(), detector, phi=[0, 1, 2, 3], out=images)
    True
    """
    more = {"response": response, "backgrounds": backgrounds, "surroundings": surroundings}
    setup = as_setup(sample, beam, detector, sampling, physics, **more)
    simulator = Simulator(setup, RenderOptions(**options))
    own: dict[str, Any] = {"orientations": orientations, "phi": phi, "beams": beams, "spectra": spectra}
    images: Iterator[Result] | NDArray[np.float32] = simulator.render_many(changes, out=out, **own)
    return images


def _check_out(out: Any, columns: Columns, scene: Scene) -> None:
    axes = 1 + len(scene.image_shape)
    if not isinstance(out, np.ndarray) or out.dtype != np.float32 or out.ndim != axes:
        given = f"{out.dtype} of shape {out.shape}" if isinstance(out, np.ndarray) else type(out).__name__
        raise InputError(f"out must be a float32 array of shape (n, slow, fast), not {given}")
    if not out.flags.writeable or (out.size and not out[0].flags.c_contiguous):
        raise InputError("out must be writable, and each of its images contiguous in C order")
    for name, values in columns.items():
        n = len(values) if isinstance(values, Sized) else None
        if n is not None and n != len(out):
            raise InputError(
                f"out has room for {len(out)} images and {name} has {n} entries: make them equal"
            )


def _frame(out: NDArray[np.float32], index: int, scene: Scene) -> NDArray[np.float32]:
    """The part of ``out`` that takes one image."""
    if index >= len(out):
        raise InputError(f"out has room for {len(out)} images and the series goes on: give a longer array")
    if out.shape[1:] != scene.image_shape:
        axes = "(slow, fast)" if len(scene.panels) == 1 else "(panel, slow, fast)"
        raise InputError(
            f"out holds images of shape {out.shape[1:]}, the detector has {scene.image_shape} pixels {axes}"
        )
    frame: NDArray[np.float32] = out[index]
    return frame
