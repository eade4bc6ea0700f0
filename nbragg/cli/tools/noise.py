"""``nbragg noise``: counts of an image that is already rendered (canonical 9.3, 10.2; beyond 14)."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ..response_options import ROWS
from .common import (
    ToolParser,
    add_scene_arguments,
    add_shape_argument,
    number,
    positive,
    read_image,
    run_tool,
    setup_from,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...io.images import ImageFile
    from ...io.images.metadata import ImageMetadata
    from ...model.response import DetectorResponse
    from ...model.setup import Setup
    from ...scene.record import Scene

__all__ = ["main"]

#: of the reference program
_ADC = 40.0

_TYPES: dict[str, Any] = {"float": number, "int": int}


def _parser() -> ToolParser:
    parser = ToolParser(
        prog="nbragg noise",
        description="Counts of a float image, nothing is rendered: Poisson deviates as nanobragg -seed draws "
        "them, or what a detector makes of the photons where an option of its response is given.",
    )
    parser.add_argument("image", metavar="FLOATIMAGE", help="photons: raw .bin, or any image format")
    parser.add_argument(
        "-o", "--output", default="noiseimage.img", metavar="FILE", help="default noiseimage.img"
    )
    parser.add_argument("--seed", type=int, metavar="N", help="default from the clock")
    parser.add_argument(
        "--adc", type=number, metavar="X", help="offset added to every count, default 40, of counting 0"
    )
    parser.add_argument(
        "--scale", type=number, default=1.0, metavar="X", help="multiply the photons first, default 1"
    )
    parser.add_argument(
        "--roi",
        nargs=4,
        type=int,
        metavar=("XMIN", "XMAX", "YMIN", "YMAX"),
        help="fast limits, slow limits; others stay 0",
    )
    parser.add_argument(
        "--like", metavar="IMG", help="take the SMV header (and the shape) of this image, intimage.img say"
    )
    add_shape_argument(parser)
    add_scene_arguments(parser)
    _add_response_arguments(parser)
    return parser


def _add_response_arguments(parser: ToolParser) -> None:
    """The options of ``nanobragg`` for a detector's response, and what its set-up says elsewhere."""
    group = parser.add_argument_group("detector response")
    for row in ROWS:
        notes = [row.unit] if row.unit else []
        if row.default and row.default != "off":
            notes.append(row.default if row.default == "on" else f"default {row.default}")
        text = (row.help + (f" [{'; '.join(notes)}]" if notes else "")).replace("%", "%%")
        name = "-" + row.name
        if not row.values:
            group.add_argument(name, dest="switches", action="append_const", const=row.also[0], help=text)
        elif row.choices:
            group.add_argument(name, dest=row.sets[0], choices=row.choices, help=text)
        else:
            kind = _TYPES.get(row.values[0], str)
            group.add_argument(name, dest=row.sets[0], type=kind, metavar=row.metavar, help=text)
    group.add_argument("--image", dest="number", type=int, default=0, metavar="N", help="its number, from 0")
    where = "[default from the file or the set-up]"
    group.add_argument("--pixel", type=positive, metavar="SIZE", help=f"pixel edge, mm {where}")
    group.add_argument("--energy", type=positive, metavar="E", help=f"of a photon, eV {where}")
    group.add_argument("--exposure", type=positive, metavar="TIME", help=f"s {where}")


class _Photons(NamedTuple):
    """What is drawn from: panels, and what a detector has to know of them."""

    panels: list[NDArray[Any]]
    shape: tuple[int, ...]  #: of the image that holds them all
    rois: list[Any]
    masks: list[Any]
    pixel_um: list[tuple[float, float]] | None
    energy_eV: float | None
    exposure_s: float | None


class _Counts(NamedTuple):
    """What is written, and what is said of it."""

    pixels: NDArray[Any]
    text: str


def _run(arguments: argparse.Namespace) -> None:
    import numpy as np

    from ...base.errors import InputError
    from ...base.warn import warn
    from ...io import images
    from ...scene.build import build_scene

    setup = setup_from(arguments)
    scene = None if setup is None else build_scene(setup)
    if scene is not None and arguments.like is not None:
        raise InputError("give either --like or a set-up, not both: each makes the header")
    form = images.format_of(arguments.output)
    arguments.seed = int(time.time()) if arguments.seed is None else arguments.seed
    response = _response(arguments, None if setup is None else setup.response)
    dtype = _dtype(arguments.output, response)
    header = _header(arguments, scene, form, response)
    content = read_image(arguments, scene, beneath=False)
    if content.metadata.get("pixels_are") == "counts":
        warn(f"{arguments.image} holds counts with noise already")
    photons = (content.photons * arguments.scale).astype(np.float32)
    drawn = _drawn(_panels(arguments, photons, setup, scene, content), response, arguments)
    pixels = drawn.pixels if dtype is None else drawn.pixels.astype(dtype, copy=False)
    _write(arguments, form, pixels, header, content, scene, response)
    print(f"seed      {arguments.seed}")
    print(f"photons   {float(photons.sum(dtype=np.float64)):g} expected")
    if response is not None and response.source:
        print(f"response  {response.source}")
    print(f"wrote     {arguments.output}, {drawn.text}")


def _response(arguments: argparse.Namespace, base: DetectorResponse | None) -> DetectorResponse | None:
    """What the options make of the set-up's response; None: the reference's noise."""
    from ..response_input import response_from

    settings = {row.sets[0]: getattr(arguments, row.sets[0]) for row in ROWS if row.sets}
    settings = {target: value for target, value in settings.items() if value is not None}
    settings |= dict(arguments.switches or ())
    return response_from(settings | {"output.adc": arguments.adc}, {}, base)


def _dtype(path: str, response: DetectorResponse | None) -> Any:
    """Pixel type of the file, before anything is read; None: that of the reference's noise."""
    if response is None:
        return None
    from ...simulation.counts import written_dtype

    return written_dtype(path, None, response, None)


def _panels(
    arguments: argparse.Namespace,
    photons: NDArray[Any],
    setup: Setup | None,
    scene: Scene | None,
    content: ImageFile,
) -> _Photons:
    """Panels with their sizes, from the set-up, or from what the file says."""
    from ...base.constants import HC_EV_A
    from ...base.errors import InputError
    from ...io.images.metadata import ImageMetadata
    from ...response.exposure import exposure_of

    said = content.metadata
    energy, exposure, edges = said.get("wavelength_A"), said.get("exposure_s"), said.get("pixel_mm")
    energy = HC_EV_A / energy if energy else None
    sizes, pixel_um, masks = [photons.shape], None, None
    rois: list[Any] = [arguments.roi]
    if edges is not None:
        pixel_um = [
            tuple(1e3 * edge for edge in (edges if isinstance(edges, (tuple, list)) else [edges] * 2))
        ]
    if scene is not None and setup is not None:
        known = exposure_of(scene, setup.beam.exposure_s)
        pixel_um, energy, exposure = known
        sizes = [(panel.spixels, panel.fpixels) for panel in scene.panels]
        rois = [arguments.roi or panel.roi for panel in scene.panels]
        masks = [panel.mask for panel in scene.panels]
    elif said.get("panels"):
        panels = ImageMetadata.from_dict(said).panels
        sizes = [(panel.spixels, panel.fpixels) for panel in panels]
        pixel_um = [(1e3 * panel.pixel_mm[0], 1e3 * panel.pixel_mm[1]) for panel in panels]
        rois = [arguments.roi] * len(panels)
    if len(sizes) > 1 and arguments.roi is not None:
        raise InputError(f"--roi is of one panel, and the image has {len(sizes)}")
    if arguments.pixel is not None:
        pixel_um = [(1e3 * arguments.pixel,) * 2] * len(sizes)
    parts, place = [], 0
    for size in sizes if len(sizes) > 1 else ():
        parts.append(photons.reshape(-1)[place : place + size[0] * size[1]].reshape(size))
        place += size[0] * size[1]
    return _Photons(
        parts or [photons],
        photons.shape,
        rois,
        masks or [None] * len(sizes),
        pixel_um,
        arguments.energy or energy,
        arguments.exposure or exposure,
    )


def _drawn(photons: _Photons, response: DetectorResponse | None, arguments: argparse.Namespace) -> _Counts:
    import numpy as np

    if response is None:
        from ...response.reference_noise import noise_panels

        adc = _ADC if arguments.adc is None else arguments.adc
        noise = noise_panels(photons.panels, photons.rois, arguments.seed, adc)
        pixels = noise[0].pixels
        if len(noise) > 1:
            pixels = np.concatenate([part.pixels.reshape(-1) for part in noise]).reshape(photons.shape)
        return _Counts(pixels, f"offset {adc:g}, {sum(part.overloads for part in noise)} overloads")
    from ...response.detect import detect
    from ...simulation.counts import joined

    drawn = joined(
        detect(
            photons.panels,
            response,
            arguments.seed,
            image=arguments.number,
            pixel_um=photons.pixel_um,
            exposure_s=photons.exposure_s,
            energy_eV=photons.energy_eV,
            masks=None if all(mask is None for mask in photons.masks) else photons.masks,
            rois=None if all(roi is None for roi in photons.rois) else photons.rois,
        ),
        photons.shape,
    )
    text = f"image {arguments.number}, offset {response.resolved_adc:g}, {drawn.overloads} overloads"
    return _Counts(drawn.pixels, text + (f", {drawn.underloads} underloads" if drawn.underloads else ""))


def _header(
    arguments: argparse.Namespace, scene: Scene | None, form: str, response: DetectorResponse | None
) -> bytes | None:
    """The SMV header, and with ``--like`` also the shape; found before anything is read or drawn."""
    from ...base.errors import InputError
    from ...io.images import smv
    from ...io.images.metadata import ImageMetadata

    if arguments.like is not None:
        other = smv.read(arguments.like)
        if arguments.shape is None:
            arguments.shape = other.pixels.shape
        if tuple(arguments.shape) != other.pixels.shape:
            raise InputError(
                f"{arguments.like} has {other.pixels.shape} pixels, not {tuple(arguments.shape)} (slow, fast)"
            )
        if smv.is_full(other):
            known = ImageMetadata.from_dict(smv.record_of(other))
            return smv.full_header(_counted(known, arguments, response))
        size = int(smv.last_value(other.header_text, "HEADER_BYTES") or 512)
        return (other.header_text + "\f").encode("latin-1").ljust(size)
    if form != "smv":
        return None
    if scene is None:
        raise InputError(
            "an SMV file needs a header: give --like IMG, --recipe FILE, or -- and a nanobragg command line; "
            "or write another format, -o noise.tif say"
        )
    return smv.header_bytes(scene)


def _counted(
    metadata: ImageMetadata, arguments: argparse.Namespace, response: DetectorResponse | None
) -> ImageMetadata:
    """What a file of the counts says."""
    import dataclasses

    if response is None:
        adc = _ADC if arguments.adc is None else arguments.adc
        return dataclasses.replace(
            metadata, scale=arguments.scale, offset=adc, pixels_are="counts", seed=arguments.seed
        )
    from ...base.constants import HC_EV_A
    from ...simulation.counts import counted_metadata

    energy = arguments.energy or HC_EV_A / metadata.wavelength_A
    known = counted_metadata(metadata, response, arguments.seed, energy)
    return dataclasses.replace(known, scale=known.scale * arguments.scale)


def _write(
    arguments: argparse.Namespace,
    form: str,
    pixels: NDArray[Any],
    header: bytes | None,
    content: ImageFile,
    scene: Scene | None,
    response: DetectorResponse | None,
) -> None:
    from ...io import images
    from ...io.images import smv
    from ...io.images.metadata import ImageMetadata

    if form == "smv":
        assert header is not None
        smv.write(arguments.output, pixels, header)
        return
    metadata = None
    if scene is not None:
        metadata = ImageMetadata.from_scene(scene)
    elif "nanobragg_image" in content.metadata:
        metadata = ImageMetadata.from_dict(content.metadata)
    if metadata is not None:
        metadata = _counted(metadata, arguments, response)
    images.save_image(arguments.output, pixels, scene=scene, metadata=metadata)


def main(argv: Sequence[str]) -> int:
    """Run the tool; returns the exit status."""
    return run_tool(_parser(), argv, _run)
