"""From what a person sets to an image: build the Scene, render it, summarise it."""

from __future__ import annotations

import time
import warnings
from typing import TYPE_CHECKING

from . import backends
from .errors import NbraggWarning, RenderError
from .result import Result

if TYPE_CHECKING:
    from .beam import Beam
    from .crystal import Crystal
    from .detector import Detector
    from .recipe import Setup
    from .sampling import Sampling
    from .scene import Scene

__all__ = ["Result", "finished", "render", "simulate"]


def render(
    scene: Scene,
    *,
    precision: str | None = None,
    device: str = "cpu",
    threads: int | None = None,
    progress: backends.Progress | None = None,
    on_device: bool = False,
) -> Result:
    """Render a Scene.

    Parameters
    ----------
    scene : Scene
        From `build_scene`; it is not changed and can be rendered again, from several threads at once.
    precision : {"double", "mixed"}
        mixed keeps every pixel within 2e-6 of the image's maximum.  Default: double on the CPU, mixed on a
        GPU.
    device : str
        "cpu", "cuda" or "auto": a GPU where there is one, else the CPU with a warning.  "cuda:1" or "auto:1"
        is the second GPU.
    threads : int, optional
        CPU threads; default OMP_NUM_THREADS, else all cores.  The image does not depend on it.
    progress : callable, optional
        Called a few times a second with the fraction done.
    on_device : bool
        Leave the image on the GPU, as a CuPy array, which other libraries take over by DLPack without a copy.
        Without effect on the CPU.

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
    >>> setup = nbragg.from_cli("-cell 70 80 90 -default_F 100 -N 5 -detpixels 32")
    >>> scene = nbragg.build_scene(setup.crystal, setup.beam, setup.detector)
    >>> bool((nbragg.render(scene, threads=1).image == nbragg.render(scene).image).all())
    True
    """
    options = backends.RenderOptions(precision, threads, progress, on_device)
    start = time.perf_counter()
    raw = backends.get(device)(scene, options)
    return finished(raw, scene, time.perf_counter() - start)


def finished(
    raw: backends.RawImage, scene: Scene, elapsed: float, setup: Setup | None = None, *, stacklevel: int = 3
) -> Result:
    """What a backend returned, checked and with its warning given.

    Raises
    ------
    RenderError
        When a pixel is infinite or NaN.
    """
    if raw.nonfinite:
        fast, slow = raw.first_nonfinite % scene.fpixels, raw.first_nonfinite // scene.fpixels
        raise RenderError(
            f"{raw.nonfinite} pixels are infinite or NaN, the first at fast {fast}, slow {slow}: "
            "check fluence, structure factors and sizes for values beyond float32 (3.4e38 photons)"
        )
    if raw.cut_pixel >= 0:
        fast, slow = raw.cut_pixel % scene.fpixels, raw.cut_pixel // scene.fpixels
        warnings.warn(
            f"interpolation was switched off from pixel fast {fast}, slow {slow} on: its h, k, l is within "
            "two planes of the edge of the reflection list; give a longer list, or -nointerpolate / "
            "interpolate=False",
            NbraggWarning,
            stacklevel=stacklevel,
        )
    return Result(raw, scene, elapsed, setup)


def simulate(
    crystal: Crystal,
    beam: Beam,
    detector: Detector,
    sampling: Sampling | None = None,
    *,
    physics: str = "nanobragg",
    precision: str | None = None,
    device: str = "cpu",
    threads: int | None = None,
    progress: backends.Progress | None = None,
) -> Result:
    """Simulate one diffraction image.

    Parameters
    ----------
    crystal, beam, detector, sampling
        What a person sets, in mm, angstrom and degrees.
    physics : {"nanobragg", "exact"}
        The reference program's formulas, or the same with its approximations removed (canonical 11).
    precision, device, threads, progress
        See `render`.

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
    >>> crystal = nbragg.Crystal(cell=(70, 80, 90, 90, 90, 90), N=(5, 5, 5), structure_factors=factors)
    >>> detector = nbragg.Detector(distance_mm=100, fpixels=64, spixels=48)
    >>> result = nbragg.simulate(crystal, nbragg.Beam(wavelength_A=1.0), detector)
    >>> result.image.shape, result.image.dtype
    ((48, 64), dtype('float32'))
    """
    from .batch import Simulator

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
    return simulator.render(progress=progress)
