"""What was simulated, for files: the Scenes of an image or a series, handed to `nbragg.io.truth`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ..analysis.reflections import LEAST
from ..io.truth import check_names, save_truth
from ..io.truth.record import gather
from ..scene.build import make_scene
from ..scene.stages import Stages
from .counts import scale_of

if TYPE_CHECKING:
    from ..io.files.atomic import PathLike
    from ..model.beam import Beam
    from ..model.setup import Setup
    from ..scene.record import Scene

__all__ = ["scenes_of", "write_truth"]


def write_truth(
    paths: Iterable[PathLike],
    setup: Setup | None,
    scenes: Iterable[tuple[Scene, Beam | None]],
    *,
    images: Any = None,
    first_image: int = 1,
    d_min_A: float | None = None,
    least: float = LEAST,
    progress: Callable[[int], object] | None = None,
    **options: Any,
) -> None:
    """Gather the truth and write it; see `Result.save_truth` and `Series.save_truth`.

    Parameters
    ----------
    paths : iterable of path
    setup : Setup or None
        What all images share, for names of panels and structure factors.
    scenes : iterable of (Scene, Beam or None)
    images, first_image, d_min_A, least, progress
        As of `nbragg.io.truth.record.gather`.
    **options
        As of `nbragg.io.truth.save_truth`; ``gain``, ``pedestal`` and ``trusted_range`` that are not given
        are those of the Setup's response, where one number says them.
    """
    files = tuple(paths)
    check_names(files)
    truth = gather(
        scenes,
        names=[panel.name for panel in setup.detector.panels or ()] if setup is not None else (),
        images=images,
        first_image=first_image,
        factors=[crystal.structure_factors for crystal in setup.sample.crystals] if setup is not None else (),
        d_min_A=d_min_A,
        least=least,
        progress=progress,
    )
    save_truth(truth, *files, **(_of_response(setup) | options))


def _of_response(setup: Setup | None) -> dict[str, Any]:
    """Options that say how photons become counts."""
    if setup is None or setup.response is None:
        return {}
    scale = scale_of(setup.response, setup.beam.energy_eV)
    options: dict[str, Any] = {"gain": scale.gain, "pedestal": scale.offset}
    if scale.saturation is not None:
        low = 0.0 if setup.response.is_counting else setup.response.levels.low
        options["trusted_range"] = (low, scale.saturation)
    return options


def scenes_of(setups: Iterable[Setup]) -> Iterator[tuple[Scene, Beam]]:
    """The Scene of each Setup, with what does not change made once."""
    stages = Stages()
    for setup in setups:
        yield make_scene(setup, stages), setup.beam
