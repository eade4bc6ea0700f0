"""One image: from a Setup, from its parts, or from a Scene."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..engine.options import RenderOptions
from ..inverse.linearization import Linearization
from ..model.beam import Beam
from ..model.crystal import Crystal
from ..model.detector import Detector
from ..model.sample import Sample
from ..model.sampling import Sampling
from ..model.setup import Setup, as_setup
from ..scene.record import Scene
from .result import Result
from .simulator import Simulator, rendered

if TYPE_CHECKING:
    from ..model.response import DetectorResponse
    from ..model.setup import Backgrounds
    from ..model.surroundings import Surroundings

__all__ = ["derivatives", "render", "simulate"]


def render(scene: Scene, options: RenderOptions | None = None, **named: Any) -> Result:
    """Render a Scene.

    Parameters
    ----------
    scene : Scene
        From `build_scene`; it is not changed and can be rendered again, from several threads at once.
    options : RenderOptions, optional
    **named
        Fields of `RenderOptions`, instead of ``options``: ``device``, ``precision``, ``threads``,
        ``progress``, ``tolerance``, ``on_device``.

    Returns
    -------
    Result

    Raises
    ------
    InputError
        When an option is not known.
    DeviceError
        Without a usable GPU (device="cuda"), or when it fails.
    RenderError
        When a pixel comes out infinite or NaN, or the engine fails.

    Examples
    --------
    >>> import nbragg
    >>> scene = nbragg.build_scene(nbragg.from_cli("-cell 70 80 90 -default_F 100 -N 5 -detpixels 32"))
    >>> bool((nbragg.render(scene, threads=1).image == nbragg.render(scene).image).all())
    True
    """
    return rendered(scene, RenderOptions(**named) if options is None else options.replace(**named))


def simulate(
    sample: Setup | Sample | Crystal,
    beam: Beam | None = None,
    detector: Detector | None = None,
    sampling: Sampling | None = None,
    *,
    physics: str | None = None,
    response: DetectorResponse | None = None,
    backgrounds: Backgrounds | None = None,
    surroundings: Surroundings | None = None,
    **options: Any,
) -> Result:
    """Simulate one diffraction image.

    Parameters
    ----------
    sample : Setup, Sample or Crystal
        A whole set-up, or what stands in the beam.
    beam, detector, sampling : Beam, Detector, Sampling, optional
        What a person sets, in mm, angstrom and degrees; None: the defaults.  Not with a Setup.
    physics : {"exact", "nanobragg"}, optional
        Physics as it is, or the reference program's formulas with their approximations (canonical 11); None:
        the Setup's, else "exact".
    response, backgrounds, surroundings : optional
        The other parts of a `Setup`; None: the Setup's, else none.
    **options
        Fields of `RenderOptions`: ``device``, ``precision``, ``threads``, ``progress``, ``tolerance``,
        ``tolerance_photons``.

    Returns
    -------
    Result

    Raises
    ------
    InputError, MemoryLimitError, RenderError

    Examples
    --------
    >>> import nbragg
    >>> factors = nbragg.StructureFactors.constant(100)
    >>> crystal = nbragg.Crystal(cell=(70, 80, 90, 90, 90, 90), N=5, structure_factors=factors)
    >>> detector = nbragg.Detector(distance_mm=100, fpixels=64, spixels=48)
    >>> result = nbragg.simulate(crystal, nbragg.Beam(wavelength_A=1.0), detector)
    >>> result.image.shape, result.image.dtype
    ((48, 64), dtype('float32'))
    """
    more = {"response": response, "backgrounds": backgrounds, "surroundings": surroundings}
    setup = as_setup(sample, beam, detector, sampling, physics, **more)
    return Simulator(setup, RenderOptions(**options)).render()


def derivatives(
    sample: Setup | Sample | Crystal,
    beam: Beam | None = None,
    detector: Detector | None = None,
    sampling: Sampling | None = None,
    *,
    parameters: Sequence[str] | str,
    physics: str | None = None,
    response: DetectorResponse | None = None,
    backgrounds: Backgrounds | None = None,
    surroundings: Surroundings | None = None,
    **options: Any,
) -> Linearization:
    """Exact first derivatives of one image by chosen parameters.

    Parameters
    ----------
    sample, beam, detector, sampling, physics, response, backgrounds, surroundings, **options
        As `nbragg.simulate`.
    parameters : sequence of str, or str
        Names and groups, as of `Simulator.linearize`.

    Returns
    -------
    Linearization
        Renders nothing until asked.

    Raises
    ------
    InputError, MemoryLimitError
        As `nbragg.simulate` and `Simulator.linearize`.

    Examples
    --------
    >>> import nbragg
    >>> factors = nbragg.StructureFactors.constant(100)
    >>> crystal = nbragg.Crystal(cell=(70, 80, 90, 90, 90, 90), N=5, structure_factors=factors)
    >>> detector = nbragg.Detector(distance_mm=100, fpixels=32, spixels=32)
    >>> linear = nbragg.derivatives(crystal, None, detector, parameters=["beam.fluence"])
    >>> by_fluence = linear.jacobian()[0]
    >>> bool(abs(by_fluence * linear.values[0] - linear.image).max() < 1e-9 * linear.image.max())
    True
    """
    more = {"response": response, "backgrounds": backgrounds, "surroundings": surroundings}
    setup = as_setup(sample, beam, detector, sampling, physics, **more)
    return Simulator(setup, RenderOptions(**options)).linearize(parameters)
