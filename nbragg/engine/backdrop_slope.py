"""How the light behind the spots, and what is lost on the way, moves along a tangent: by complex numbers."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from .. import _engine
from ..base.numbers import STEP, along, derivative, moves
from ..base.vectors import FloatArray
from ..scene.backdrop import Backdrop
from ..scene.record import PlacedPanel, Scene
from ..scene.tangent import PanelTangent, SceneTangent
from .cpu import render_behind, run_job, thread_count
from .options import RenderOptions

__all__ = [
    "BackdropImages",
    "backdrop_rates",
    "backdrop_values",
    "moved_scene",
    "moves_backdrop",
    "moves_rays",
]


#: fields of a tangent, beside panels, that move light on its way
_RAYS = ("source_incident", "source_wavelength", "source_weight", "polarization", "polar_vector")


class BackdropImages(NamedTuple):
    """Of the scene's ``image_shape``.

    Attributes
    ----------
    background : ndarray of float64
        Photons at a fluence of 1 photon/m^2.
    fixed : ndarray of float64
        Photons, whatever the fluence.
    transmission : ndarray of float64
        Share of the light from the sample that arrives.
    """

    background: FloatArray
    fixed: FloatArray
    transmission: FloatArray


def moves_backdrop(tangent: SceneTangent) -> bool:
    """Whether a tangent moves the images of a backdrop: crystals, tables, fluence and water do not."""
    return tangent.backdrop is not None or moves_rays(tangent)


def moves_rays(tangent: SceneTangent) -> bool:
    """Whether it moves panels, sources or polarization."""
    rates = [getattr(tangent, name) for name in _RAYS]
    return any(rate is not None and np.any(rate) for rate in rates) or any(
        panel is not None for panel in tangent.panels
    )


def moved_scene(scene: Scene, tangent: SceneTangent) -> Scene:
    """The scene with value + i h rate in all that the images behind the spots are made of."""
    sources = scene.sources
    panels = tangent.panels or (None,) * len(scene.panels)
    return dataclasses.replace(
        scene,
        panels=tuple(
            _moved_panel(panel, rate, tangent.source_wavelength)
            for panel, rate in zip(scene.panels, panels, strict=True)
        ),
        sources=dataclasses.replace(
            sources,
            incident=along(sources.incident, tangent.source_incident),
            wavelength=along(sources.wavelength, tangent.source_wavelength),
            weight=along(sources.weight, tangent.source_weight),
        ),
        polarization=along(scene.polarization, tangent.polarization),
        polar_vector=along(scene.polar_vector, tangent.polar_vector),
        backdrop=scene.backdrop if tangent.backdrop is None else tangent.backdrop,
    )


def _moved_panel(
    panel: PlacedPanel, tangent: PanelTangent | None, wavelengths: FloatArray | None
) -> PlacedPanel:
    if panel.source_mu is not None and panel.source_mu_slope is not None and wavelengths is not None:
        panel = dataclasses.replace(
            panel, source_mu=along(panel.source_mu, panel.source_mu_slope * wavelengths)
        )
    if tangent is None:
        return panel
    fields = {
        name: along(getattr(panel, name), getattr(tangent, name))
        for name in ("fdet", "sdet", "odet", "beam", "pix0", "layer_step", "mu", "close_distance", "distance")
    }
    edges = panel.pixel if tangent.pixel is None else tuple(map(along, panel.pixel, tangent.pixel.tolist()))
    return dataclasses.replace(panel, pixel=edges, **fields)


def backdrop_values(scene: Scene, options: RenderOptions) -> BackdropImages:
    """The images behind the spots, as the renderer on the CPU makes them.

    Parameters
    ----------
    scene : Scene
        With a backdrop.
    options : RenderOptions
        Threads.
    """
    made = render_behind(scene, options.threads)

    def image(plane: FloatArray | None, else_: float) -> FloatArray:
        return (
            np.broadcast_to(else_, scene.image_shape) if plane is None else plane.reshape(scene.image_shape)
        )

    return BackdropImages(image(made.background, 0.0), image(made.fixed, 0.0), image(made.transmission, 1.0))


def backdrop_rates(scene: Scene, tangent: SceneTangent, options: RenderOptions) -> BackdropImages:
    """Derivatives of the images behind the spots along a tangent; 0 where nothing is rendered.

    Parameters
    ----------
    scene : Scene
        With a backdrop.
    tangent : SceneTangent
        That moves it; not where there is a direct beam.
    options : RenderOptions
        Threads; always on the CPU, in double precision.
    """
    backdrop = scene.backdrop
    assert backdrop is not None
    linear = _linear(backdrop, tangent)
    if linear is not None:
        found = backdrop_values(dataclasses.replace(scene, backdrop=linear), options)
        return found._replace(transmission=np.broadcast_to(0.0, scene.image_shape))
    images = BackdropImages(*(np.zeros(scene.image_shape) for _ in range(3)))
    job = _engine.BackdropSlopesJob(
        _engine.EngineScene(scene), moved_scene(scene, tangent), STEP, thread_count(options), images
    )
    run_job(job)
    return images


def _linear(backdrop: Backdrop, tangent: SceneTangent) -> Backdrop | None:
    """Where amounts are all that moves, what the rates are the images of."""
    if tangent.backdrop is None or moves_rays(tangent):
        return None
    rates = []
    for one, moving in zip(backdrop.scatterers, tangent.backdrop.scatterers, strict=True):
        rate = derivative(moving.amounts)
        if rate is not None:
            rates.append(dataclasses.replace(one, amounts=rate))
    scatterers = tuple(
        dataclasses.replace(one, amounts=one.amounts.real) for one in tangent.backdrop.scatterers
    )
    if moves(dataclasses.replace(tangent.backdrop, scatterers=scatterers)):
        return None
    return dataclasses.replace(backdrop, scatterers=tuple(rates), direct_beam=0.0)
