"""``nbragg refine``: parameters of a set-up from measured images (gradients 8, 9)."""

from __future__ import annotations

import argparse
import functools
import itertools
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...base.errors import FileError, InputError
from ..terminal import FAILED, OK, complain
from .common import ToolParser, add_scene_arguments, add_shape_argument, number, run_tool
from .refine_images import Source, loaded, offset_of, sources_from
from .refine_input import (
    Start,
    add_noise_arguments,
    background_from,
    bounds_from,
    mask_from,
    noise_from,
    percent_from,
    sigmas_from,
)

if TYPE_CHECKING:
    from ...inverse.noise import Noise
    from ...model.setup import Setup
    from ...refinement.measured import Loaded
    from ...refinement.result import Refinement
    from ...scene.record import Scene

__all__ = ["main"]

_PROGRAM = "nbragg refine"


def _parser() -> ToolParser:
    parser = ToolParser(
        prog=_PROGRAM,
        usage="nbragg refine IMAGE [IMAGE ...] --start FILE --free NAME [NAME ...] [option ...]",
        description="Find the parameters of a set-up that make measured images most likely, of one image or "
        "of many together. Prints a line for each step and a table of what was found. Exit status: 0 "
        "converged, 1 not converged (what was found is written all the same), 2 bad input.",
    )
    add = parser.add_argument
    add(
        "images", metavar="IMAGE", nargs="+", help="any image format; data of the set-up's detector; each "
        "frame of a stack is an image, of which FILE:3 or FILE:1-20 takes one or some, counted from 1",
    )  # fmt: skip
    add(
        "--start", nargs="+", metavar="FILE",
        help="recipes, one for all images or one for each, or a DIALS .expt, whose crystals, detector and "
        "beam are taken and the rest of --recipe or of the command line after --; its experiments belong to "
        "the images whose file and frame they name",
    )  # fmt: skip
    add("--free", nargs="+", required=True, metavar="NAME",
        help="parameters and groups: crystal.orientation crystal.cell detector.distance_mm ...")  # fmt: skip
    add_noise_arguments(parser)
    add("--background", default="constant", metavar="KIND", help="constant (default), plane or radial, which "
        "are refined; none; or photons a pixel that are known")  # fmt: skip
    add("--sigma", nargs="+", default=[], metavar="NAME=X", help="standard deviation of what is known of a "
        "parameter or group: crystal.cell=0.5%% or detector.distance_mm=0.2")  # fmt: skip
    add("--bounds", nargs="+", default=[], metavar="NAME=LOW:HIGH", help="limits of a parameter")
    add("--shared", nargs="+", default=[], metavar="NAME", help="parameters that all images have in common")
    add("--mask", metavar="FILE", help="pixels that count, as nanobragg -mask reads it; 0: left out")
    add("--offset", type=number, metavar="X", help="taken off every pixel; default what the file says, or 0")
    add("--stages", choices=("auto", "none"), default="auto", help="auto (default): from coarse to fine; "
        "none: from a start within a spot's width")  # fmt: skip
    several = parser.add_mutually_exclusive_group()
    text = "divide the images among so many processes; --threads is then that of each"
    several.add_argument("--workers", type=int, default=1, metavar="N", help=text)
    text = "divide them among the workers of a Dask cluster: tcp://HOST:8786"
    several.add_argument("--scheduler", metavar="ADDRESS", help=text)
    add("--amplitudes", metavar="SPACEGROUP", help="find structure factors too, those of symmetry mates as "
        "one, shared by all images: P43212 say")  # fmt: skip
    add("--amplitude-prior", metavar="PERCENT", help="what is known of them beforehand: 20%% of their values "
        "at the start")  # fmt: skip
    add("--out-mtz", metavar="FILE", help="write the amplitudes that were found")
    add("--out", metavar="FILE", help="write the set-up as a recipe; of several images name_0001.json ...")
    add("--out-expt", metavar="FILE", help="write DIALS experiments, one for each crystal of each image")
    add("--plot", metavar="PNG", help="draw data, model, residual and convergence")
    add("--overwrite", action="store_true", help="replace files that exist")
    add_shape_argument(parser, all_frames=True)
    add_scene_arguments(parser)
    return parser


def _run(arguments: argparse.Namespace) -> int:
    from ...scene.build import make_scene
    from ...scene.stages import Stages
    from .refine_report import report, step_line

    noise = noise_from(arguments.noise)
    background = background_from(arguments.background)
    bounds = bounds_from(arguments.bounds)
    prior = percent_from("--amplitude-prior", arguments.amplitude_prior)
    if arguments.amplitudes is None and (arguments.amplitude_prior or arguments.out_mtz):
        raise InputError("--amplitude-prior and --out-mtz are of --amplitudes, which is not given")
    start, stages = Start(arguments), Stages()
    given = sources_from(arguments, make_scene(start.first, stages).image_shape)
    sources, setups, said = start.of(given)
    outputs = _outputs(arguments, sources, len(given))
    restraints = sigmas_from("--sigma", arguments.sigma, setups[0], arguments.free)
    scene = make_scene(setups[0], stages)
    shape = scene.image_shape
    wanted = argparse.Namespace(shape=arguments.shape, dataset=arguments.dataset)
    images = [
        functools.partial(loaded, wanted, source.anywhere(), shape, noise, arguments.offset)
        for source in sources
    ]
    names = [f"image {source.number}, {source.name}" for source in sources]
    names = names if len(names) > 1 else [sources[0].name]
    for line in said:
        print(line)
    _announce(arguments, setups[0], scene, len(images))
    found = _refined(
        names,
        images,
        setups,
        arguments.free,
        noise=noise,
        background=background,
        restraints=restraints,
        bounds=bounds,
        shared=arguments.shared,
        mask=mask_from(arguments.mask, shape),
        amplitudes=arguments.amplitudes,
        amplitude_prior=prior,
        stages=arguments.stages,
        progress=lambda line: print(step_line(line, names), flush=True),
        workers=arguments.scheduler or arguments.workers,
        threads=arguments.threads,
    )
    print()
    for text in report(found, names):
        print(text)
    offset = arguments.offset
    if offset is None and arguments.out_expt is not None:
        offset = offset_of(wanted, sources[0], shape)
    _write(arguments, found, sources, images, noise, offset or 0.0, outputs)
    if not found.converged:
        complain(_PROGRAM, "not converged", _by_name(found.message, names))
    return OK if found.converged else FAILED


def _refined(names: Sequence[str], *given: Any, **more: Any) -> Refinement:
    """`nbragg.refine`, whose errors call images by their names."""
    from ...refinement.refine import refine

    try:
        return refine(*given, **more)
    except InputError as error:
        raise InputError(_by_name(str(error), names)) from error


def _by_name(text: str, names: Sequence[str]) -> str:
    """A message in which data are called by the names of their files."""
    text = re.sub(r"\bdata\[(\d+)\]", lambda match: names[int(match[1])], text)
    return re.sub(r"^data:", f"{names[0]}:", text)


def _outputs(arguments: argparse.Namespace, sources: Sequence[Source], count: int) -> list[str]:
    """Names of the recipes, numbered as the images are given; every file to be written is checked."""
    from ...io.files.atomic import check_writable
    from ...simulation.saving import numbered

    recipes: list[str] = []
    if arguments.out is not None:
        if Path(arguments.out).suffix.lower() not in (".json", ".yaml", ".yml"):
            raise InputError(f"--out {arguments.out}: a recipe's name ends in .json, .yaml or .yml")
        recipes = [arguments.out]
        if count > 1:
            recipes = [numbered(arguments.out, source.number, count) for source in sources]
    for option, name, suffix in (
        ("--out-expt", arguments.out_expt, ".expt"),
        ("--out-mtz", arguments.out_mtz, ".mtz"),
        ("--plot", arguments.plot, ".png"),
    ):
        if name is not None and Path(name).suffix.lower() != suffix:
            raise InputError(f"{option} {name}: a name that ends in {suffix} was expected")
    for name in (*recipes, arguments.out_expt, arguments.out_mtz, arguments.plot):
        if name is None:
            continue
        if any(Path(name).resolve() == Path(path).resolve() for path in {source.path for source in sources}):
            raise InputError(f"{name} is an image that is read; give another name")
        check_writable(name)
        if Path(name).exists() and not arguments.overwrite:
            raise FileError(f"{name} exists: give another name, or --overwrite")
    if arguments.plot is not None:
        from ...base.optional import require

        require("matplotlib.figure", extra="plot", purpose="pictures")
    return recipes


def _announce(
    arguments: argparse.Namespace,
    setup: Setup,
    scene: Scene,
    count: int,
) -> None:
    """What it will cost."""
    from ...scene.parameters import expand

    free = len(expand(arguments.free, setup, scene=scene))
    size = " x ".join(map(str, scene.image_shape))
    many = f"{count} images" if count > 1 else "1 image"
    each = " each" if count > 1 else ""
    print(f"{many} of {size} pixels, {free} parameters{each}", flush=True)


def _write(
    arguments: argparse.Namespace,
    found: Refinement,
    sources: Sequence[Source],
    images: Sequence[Callable[[], Loaded]],
    noise: Noise,
    offset: float,
    recipes: Sequence[str],
) -> None:
    from ...io import recipe
    from ...scene.build import build_scene
    from ...simulation.truth import scenes_of, write_truth

    written = []
    for name, setup in zip(recipes, found.setups, strict=False):
        recipe.dump(setup, name)
        written.append(name)
    if arguments.out_expt is not None:
        # no reflection is wanted, whose spots would be worked out
        write_truth(
            [arguments.out_expt],
            found.setups[0],
            scenes_of(found.setups),
            **_named(sources, found.setups[0]),
            d_min_A=_NO_REFLECTIONS_A,
            gain=noise.gain,
            pedestal=offset,
        )
        written.append(arguments.out_expt)
    if arguments.out_mtz is not None:
        assert found.amplitudes is not None
        first = found.setups[0]
        cell = build_scene(first).placement.crystal.unit_cell.direct
        found.amplitudes.save(arguments.out_mtz, cell, first.beam.wavelength_A)
        written.append(arguments.out_mtz)
    if arguments.plot is not None:
        _plot(arguments, found, sources, images)
        written.append(arguments.plot)
    for name in written:
        print(f"wrote {name}")


def _named(sources: Sequence[Source], setup: Setup) -> dict[str, Any]:
    """How experiments name the images: stills one by one, those of a rotation as a run of frames or files."""
    paths = [source.path for source in sources]
    frames = [source.frame for source in sources]
    if not setup.sample.crystals[0].osc_deg:
        return {"images": list(zip(paths, frames, strict=True))}
    begin = frames[0]
    if begin is not None:
        if len(set(paths)) > 1 or frames != list(range(begin, begin + len(frames))):
            return {}
        return {"images": list(zip(paths, frames, strict=True)), "first_image": begin + 1}
    parts = [re.fullmatch(r"(.*?)(\d+)(\.\w+)", path) for path in paths]
    first = parts[0]
    if first is None:
        return {}
    number, width = int(first[2]), len(first[2])
    wanted = [f"{first[1]}{number + k:0{width}d}{first[3]}" for k in range(len(paths))]
    if paths != wanted:
        return {}
    return {"images": f"{first[1]}{'#' * width}{first[3]}", "first_image": number}


#: no crystal has planes so far apart
_NO_REFLECTIONS_A = 1e6


def _plot(
    arguments: argparse.Namespace,
    found: Refinement,
    sources: Sequence[Source],
    images: Sequence[Callable[[], Loaded]],
) -> None:
    """Of several images the one that the model fits least well."""
    import numpy as np

    from ...analysis import picture
    from ...analysis.fit_picture import Fit, draw_fit
    from ...io.files.atomic import open_atomic
    from ...scene.build import build_scene

    worst = int(np.argmax(found.chi_squares))
    residual = found.residual(worst)
    gain = noise_from(arguments.noise).gain
    data = np.where(np.isfinite(residual), images[worst]().pixels / gain, np.nan)
    own = [line for line in found.history if line.image == worst + 1 or (line.turn and not line.image)]
    own = own if any(line.image for line in own) else list(found.history)
    stages = [
        [line.cost for line in steps]
        for _, steps in itertools.groupby(own, lambda line: (line.stage, line.turn))
    ]
    title = f"{Path(sources[worst].name).name}: chi square of all pixels {np.nanmean(residual**2):.3f}"
    if len(images) > 1:
        title += f", the highest of {len(images)} images"
    fit = Fit(data, found.expected(worst), residual, stages)
    figure = draw_fit(build_scene(found.setups[worst]), fit, title=title)
    with open_atomic(arguments.plot) as stream:
        stream.write(picture.png_bytes(figure))


def main(argv: Sequence[str]) -> int:
    """Run the tool; returns the exit status."""
    return run_tool(_parser(), argv, _run)
