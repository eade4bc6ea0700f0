"""The Scene: one nested record in SI units, all that a backend reads.

Enumerations are words here; `nbragg._engine` turns them into those of ``csrc/nb_scene.h`` and refuses others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..base.cached import cached_property
from ..base.records import FrozenArrays, frozen
from ..base.vectors import FloatArray
from .placement import Placement, only

if TYPE_CHECKING:
    from .backdrop import Backdrop
    from .diffuse import Diffuse

__all__ = ["CrystalBlock", "FactorTable", "PlacedPanel", "Scene", "Sources"]


@frozen
class PlacedPanel(FrozenArrays):
    """One panel of the detector where it stands; m, unit vectors in the laboratory frame.

    Attributes
    ----------
    fpixels, spixels : int
        Pixels along fast and slow.
    first : (fast, slow)
        Where on the plane that begins at ``pix0`` its first pixel lies, in pixels.
    pixel : (fast, slow)
        Pixel edges.
    fdet, sdet, odet, beam, pix0 : ndarray (3,)
        Fast axis, slow axis, normal, beam direction; sample to the outer corner of the plane's first pixel.
    distance, close_distance : float
        To the plane along the beam; to its near point.
    curved : {"flat", "laboratory", "axes"}
        Bent about the sample as canonical 6.2 has it, or by angles from the panel's own axes (canonical 11).
    point_pixel : bool
    layers : int
    layer_step, thickness, mu : float
        Sensor layers; a thickness or a ``mu`` (1/m) of 0 means capture fraction 1.  ``mu`` is that of the
        mean depth of a layer, and of the capture fraction unless ``source_mu`` says it.
    mean_depth : bool
        The photons of a layer are at the mean depth of what it absorbs, not at its front (canonical 11);
        without effect where the sensor does not absorb.
    roi : (fmin, fmax, smin, smax)
        Inclusive, counted from its first pixel.
    mask : ndarray uint8 (spixels, fpixels) or None
        0: skip.
    source_mu : ndarray (sources,) or None
        1/m, of the capture fractions that are taken for every sample, of each source's light; None: ``mu``.
    source_mu_slope : ndarray (sources,) or None
        1/m^2: how they move with the wavelengths of the sources, by which derivatives along a wavelength
        include the capture.  Given together with ``source_mu``.
    """

    fpixels: int
    spixels: int
    first: tuple[int, int]
    pixel: tuple[float, float]
    fdet: FloatArray
    sdet: FloatArray
    odet: FloatArray
    beam: FloatArray
    pix0: FloatArray
    distance: float
    close_distance: float
    curved: str
    point_pixel: bool
    layers: int
    layer_step: float
    thickness: float
    mu: float
    mean_depth: bool
    roi: tuple[int, int, int, int]
    mask: npt.NDArray[np.uint8] | None
    source_mu: FloatArray | None = None
    source_mu_slope: FloatArray | None = None


@frozen
class Sources(FrozenArrays):
    """The sources of the beam.

    Attributes
    ----------
    incident : ndarray (n, 3)
        Unit vectors of travel.
    wavelength : ndarray (n,)
        m.
    weight : ndarray (n,)
        Mean 1.
    table : ndarray of int64 (n,)
        Which of a crystal's tables of structure factors each takes, from 0.
    channel : ndarray (n, 2) or None
        Lowest and highest wavenumber, 1/m, of the channel of a spectrum that each stands for; None: of a
        single wavelength each.  Read where `Scene.spectral` is not "direct".
    """

    incident: FloatArray
    wavelength: FloatArray
    weight: FloatArray
    table: npt.NDArray[np.int64]
    channel: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.wavelength)


@frozen
class CrystalBlock(FrozenArrays):
    """One crystal in all its orientations.

    Attributes
    ----------
    orientations : ndarray (no, 3, 3)
        Rows a, b, c, m; phi outermost, mosaic domain innermost.
    orientation_weights : ndarray (no,) or None
        Relative; None: all alike.  Their mean is what counts as one crystal.
    N : ndarray (3,)
        Unit cells along a, b, c.
    shape : {"square", "round", "gauss", "tophat"}
    fudge : float
    shape_metric : ndarray (3, 3)
        M of the spot radius dh.M.dh (canonical 7.1).
    weight : float
        How many times it counts.
    table : int
        Index into `Scene.tables` of its first table; one for each energy that sources name.
    displacement : ndarray (3, 3) or None
        W of V = h.W h: F^2 L^2 counts exp(-V) times (beyond 20.1).  None: 1.
    displacement_rate : ndarray (3, 3) or None
        Of a tangent alone: R, without negative principal values, by whose h.R h the same is multiplied.
    """

    orientations: FloatArray
    orientation_weights: FloatArray | None
    N: FloatArray
    shape: str
    fudge: float
    shape_metric: FloatArray
    weight: float
    table: int
    displacement: FloatArray | None = None
    displacement_rate: FloatArray | None = None


@frozen
class FactorTable(FrozenArrays):
    """Structure factors of one crystal at one energy, electrons.

    Attributes
    ----------
    values : ndarray (nh, nk, nl) or None
    origin : (hmin, kmin, lmin)
    default_F : float
    interpolation : {"nearest", "tricubic", "tricubic_exact"}
        "tricubic" with the switch-off of canonical 7.3, "tricubic_exact" with default_F where not usable.
    reach : float
        Length of q, 1/m, beyond which every structure factor is 0 whatever the orientation; renderers skip
        such samples.  It holds for this unit cell; infinite where it is not known.
    """

    values: FloatArray | None
    origin: tuple[int, int, int]
    default_F: float
    interpolation: str
    reach: float


@frozen
class Scene(FrozenArrays):
    """Everything that decides an image: SI units, radians; arrays float64, C-contiguous, read-only.

    Attributes
    ----------
    panels : tuple of PlacedPanel
    sources : Sources
    crystals : tuple of CrystalBlock
    tables : tuple of FactorTable
    oversample : int
    oversample_thick, oversample_polar, oversample_omega : bool
    dmin : float
        0: no limit.
    polarization : float
        Kahn factor.
    polar_vector : ndarray (3,)
    nopolar : bool
    fluence : float
        Photons/m^2.
    water : float
        Edge of the water cube.
    water_mode : {"in_sum", "after"}
        Inside the sum, canonical 8; or added after it, times omega, polarization and capture of each
        sample (canonical 11).
    physics : str
        ``"nanobragg"`` or ``"exact"``.
    placement : Placement
        For reports and file headers; no renderer reads it.
    backdrop : Backdrop or None
        What is added to the light of the crystals, and what is lost of all light; None: nothing.
    diffuse : Diffuse or None
        What the crystals scatter between their spots; None: nothing.
    spectral : {"direct", "line", "culled"}
        How the channels of the sources are rendered: each by its own wavelength; by the integral over each
        channel (beyond 15.6); each by its own wavelength where a spot is near, to 1e-9 of its peak.
        Derivatives and traces are those of "direct".
    adaptive : bool
        Of `oversample` sub-pixels the CPU renderer takes as many as each pixel needs.
    """

    panels: tuple[PlacedPanel, ...]
    sources: Sources
    crystals: tuple[CrystalBlock, ...]
    tables: tuple[FactorTable, ...]
    oversample: int
    oversample_thick: bool
    oversample_polar: bool
    oversample_omega: bool
    dmin: float
    polarization: float
    polar_vector: FloatArray
    nopolar: bool
    fluence: float
    water: float
    water_mode: str
    physics: str
    placement: Placement
    backdrop: Backdrop | None = None
    diffuse: Diffuse | None = None
    spectral: str = "direct"
    adaptive: bool = False

    @property
    def panel(self) -> PlacedPanel:
        """The only panel.

        Raises
        ------
        InputError
            When there are several.
        """
        return only(self.panels, "panel")

    @property
    def crystal(self) -> CrystalBlock:
        """The only crystal.

        Raises
        ------
        InputError
            When there are several.
        """
        return only(self.crystals, "crystal")

    @property
    def table(self) -> FactorTable:
        """The first table of the only crystal."""
        return self.tables[self.crystal.table]

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """Image index of each panel's first pixel, and the number of all pixels."""
        places = [0]
        for panel in self.panels:
            places.append(places[-1] + panel.fpixels * panel.spixels)
        return tuple(places)

    @property
    def image_shape(self) -> tuple[int, ...]:
        """(slow, fast) of one panel, (panel, slow, fast) of several of one size, else (pixels,)."""
        sizes = {(panel.spixels, panel.fpixels) for panel in self.panels}
        if len(sizes) > 1:
            return (self.offsets[-1],)
        size = sizes.pop()
        return size if len(self.panels) == 1 else (len(self.panels), *size)

    @property
    def mask_image(self) -> npt.NDArray[np.bool_] | None:
        """True where a pixel is rendered (in the roi, not masked), of `image_shape`; None: all are."""
        if all(
            panel.mask is None and panel.roi == (0, panel.fpixels - 1, 0, panel.spixels - 1)
            for panel in self.panels
        ):
            return None
        parts = []
        for panel in self.panels:
            fmin, fmax, smin, smax = panel.roi
            used = np.zeros((panel.spixels, panel.fpixels), bool)
            inside = (slice(smin, smax + 1), slice(fmin, fmax + 1))
            used[inside] = True if panel.mask is None else panel.mask[inside] != 0
            parts.append(used.reshape(-1))
        return np.concatenate(parts).reshape(self.image_shape)

    def place(self, pixel: int) -> tuple[int, int, int]:
        """Panel, slow and fast of an image index."""
        number = int(np.searchsorted(self.offsets, pixel, side="right")) - 1
        slow, fast = divmod(pixel - self.offsets[number], self.panels[number].fpixels)
        return number, slow, fast

    def pixel_name(self, pixel: int) -> str:
        """An image index for messages: "fast 3, slow 7", of several panels "panel 1, fast 3, slow 7"."""
        number, slow, fast = self.place(pixel)
        name = f"fast {fast}, slow {slow}"
        return name if len(self.panels) == 1 else f"panel {number}, {name}"

    @property
    def samples_per_pixel(self) -> int:
        """Of the panel with the most sensor layers."""
        layers = max(panel.layers for panel in self.panels)
        orientations = sum(len(crystal.orientations) for crystal in self.crystals)
        return layers * self.oversample**2 * len(self.sources) * orientations
