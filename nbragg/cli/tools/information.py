"""``nbragg information``: how well an exposure would determine parameters (gradients 8.4)."""

from __future__ import annotations

import argparse
import json
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...base.errors import InputError
from .common import ToolParser, add_scene_arguments, run_tool, setup_from, write_text
from .refine_input import (
    BACKGROUNDS,
    add_noise_arguments,
    background_from,
    mask_from,
    noise_from,
    sigmas_from,
    vary_from,
)
from .uncertain import direction, table, writer

if TYPE_CHECKING:
    from ...inverse.information import Information
    from ...model.setup import Setup
    from ...refinement.planning import InformationScan

__all__ = ["main"]

#: correlations that are listed at most, and from which size
_CORRELATIONS, _STRONG = 6, 0.5
#: values of what is varied that stand beside one another
_COLUMNS = 8
#: units of parameters that are directions or have no natural zero: never a part of the value
_ABSOLUTE = ("deg", "mm", "mrad", "-")


def _parser() -> ToolParser:
    parser = ToolParser(
        prog="nbragg information",
        usage="nbragg information SETUP --free NAME [NAME ...] [option ...]",
        description="How well an exposure of a set-up would determine parameters, before it is made: the "
        "least standard deviations that unbiased estimates have (Cramer and Rao), correlations, and "
        "directions that the data do not determine.",
    )
    add = parser.add_argument
    add("setup", metavar="SETUP", nargs="?", help="the same as --recipe")
    add("--free", nargs="+", required=True, metavar="NAME",
        help="parameters and groups: crystal.orientation crystal.cell ...")  # fmt: skip
    add_noise_arguments(parser)
    add("--background", default="0", metavar="X", help="photons a pixel beside the model's, default 0")
    add("--free-background", choices=BACKGROUNDS, default="none", help="what of it would be refined too")
    add("--priors", nargs="+", default=[], metavar="NAME=SIGMA", help="what is known beforehand: "
        "crystal.cell=0.5%% or detector.distance_mm=0.2")  # fmt: skip
    add("--vary", nargs="+", default=[], metavar="NAME LOW:HIGH",
        help="sigma against what can be chosen, each name by itself: detector.distance_mm 80:300 "
        "crystal.N 10:60; 12 values unless COUNT says another number")  # fmt: skip
    add("--mask", metavar="FILE", help="pixels that count, as nanobragg -mask reads it; 0: left out")
    add("--plot", metavar="PNG", help="draw sigma against what is varied, else the correlations")
    add("--json", metavar="FILE", help="write every number")
    add_scene_arguments(parser)
    return parser


def _run(arguments: argparse.Namespace) -> None:
    from ...refinement.planning import information
    from ...scene.build import build_scene
    from ..terminal import busy

    noise = noise_from(arguments.noise)
    background = background_from(arguments.background)
    if isinstance(background, str):
        raise InputError(
            f"--background {background}: photons a pixel were expected; --free-background says what of it "
            "is refined"
        )
    varied = vary_from(arguments.vary)
    _check_outputs(arguments)
    setup = _setup(arguments)
    options: dict[str, Any] = {
        "noise": noise,
        "background": background,
        "free_background": arguments.free_background,
        "priors": sigmas_from("--priors", arguments.priors, setup, arguments.free),
        "threads": arguments.threads,
    }
    if arguments.mask is not None:
        options["mask"] = mask_from(arguments.mask, build_scene(setup).image_shape)
    with busy("information"):
        found = information(setup, arguments.free, **options)
    for line in _report(found):
        print(line)
    scans = []
    for name, values in varied.items():
        with busy(name):
            scans.append(information(setup, arguments.free, vary={name: values}, **options))
        print()
        for line in _scan_lines(scans[-1]):
            print(line)
    if arguments.json is not None:
        text = json.dumps(_content(found, scans), indent=2, allow_nan=False)
        write_text(arguments.json, text.splitlines())
        print(f"wrote {arguments.json}")
    if arguments.plot is not None:
        _plot(arguments, setup, found, scans)
        print(f"wrote {arguments.plot}")


def _check_outputs(arguments: argparse.Namespace) -> None:
    from ...io.files.atomic import check_writable

    if arguments.plot is not None:
        if Path(arguments.plot).suffix.lower() != ".png":
            raise InputError(f"--plot {arguments.plot}: a name that ends in .png was expected")
        from ...base.optional import require

        require("matplotlib.figure", extra="plot", purpose="pictures")
    for name in (arguments.plot, arguments.json):
        if name is not None:
            check_writable(name)


def _setup(arguments: argparse.Namespace) -> Setup:
    if arguments.setup is not None:
        if arguments.recipe is not None:
            raise InputError(f"set-up given twice: {arguments.setup} and --recipe {arguments.recipe}")
        arguments.recipe = arguments.setup
    setup = setup_from(arguments, needed=True)
    assert setup is not None
    return setup


def _report(found: Information) -> Iterator[str]:
    rows = []
    for i, (name, sigma) in enumerate(found.sigma.items()):
        value = float(found.values[i])
        write = writer(value, sigma)
        part = f"{100 * sigma / abs(value):.2g} %" if value and math.isfinite(sigma) else ""
        spread = write(sigma) if math.isfinite(sigma) else "undetermined"
        rows.append((name, found.units[i], write(value), spread, part))
    yield from table(("parameter", "unit", "value", "sigma", "relative"), rows)
    strong = _correlations(found)
    if strong:
        yield ""
        yield "strongest correlations"
        for value, one, other in strong:
            yield f"{value:+.3f}  {one}, {other}"
    if found.undetermined:
        yield ""
    for _, parts in found.undetermined:
        yield f"undetermined: {direction(parts)}"


def _correlations(found: Information) -> list[tuple[float, str, str]]:
    names, matrix = found.parameters, found.correlation
    pairs = [
        (float(matrix[i, j]), names[i], names[j])
        for i in range(len(names))
        for j in range(i)
        if abs(matrix[i, j]) >= _STRONG
    ]
    return sorted(pairs, key=lambda pair: -abs(pair[0]))[:_CORRELATIONS]


def _scan_lines(scan: InformationScan) -> Iterator[str]:
    """A row for each parameter, a column for each value."""
    yield f"sigma against {scan.name}" + (f" ({scan.unit})" if scan.unit.strip("-") else "")
    units = scan.information[0].units
    for first in range(0, len(scan.values), _COLUMNS):
        part = slice(first, first + _COLUMNS)
        rows = [
            (name, unit, *(f"{x:.3g}" if math.isfinite(x) else "-" for x in sigma[part]))
            for (name, sigma), unit in zip(scan.sigma.items(), units, strict=True)
        ]
        yield from table(("", "unit", *(f"{value:.5g}" for value in scan.values[part])), rows)


def _content(found: Information, scans: Sequence[InformationScan]) -> dict[str, Any]:
    """Plain values; null where a parameter is not determined."""

    def plain(values: Any) -> Any:
        if not isinstance(values, float) and hasattr(values, "__len__"):
            return [plain(value) for value in values]
        return float(values) if math.isfinite(values) else None

    return {
        "parameters": list(found.parameters),
        "units": list(found.units),
        "values": plain(found.values),
        "sigma": plain(list(found.sigma.values())),
        "correlation": plain(found.correlation),
        "undetermined": [
            {"eigenvalue": eigenvalue, "direction": dict(parts)} for eigenvalue, parts in found.undetermined
        ],
        "varied": [
            {
                "name": scan.name,
                "unit": scan.unit,
                "values": plain(scan.values),
                "sigma": {name: plain(sigma) for name, sigma in scan.sigma.items()},
            }
            for scan in scans
        ],
    }


def _plot(
    arguments: argparse.Namespace, setup: Setup, found: Information, scans: Sequence[InformationScan]
) -> None:
    from ...analysis import picture
    from ...analysis.sigma_picture import Curves, draw_correlation, draw_sigma
    from ...io.files.atomic import open_atomic

    if scans:
        relative = {
            name: float(value)
            for name, value, unit in zip(found.parameters, found.values, found.units, strict=True)
            if value and unit not in _ABSOLUTE
        }
        curves = [
            Curves(
                scan.name, scan.unit, scan.values, scan.sigma, found.units, relative, _now(setup, scan.name)
            )
            for scan in scans
        ]
        figure = draw_sigma(curves)
    else:
        figure = draw_correlation(found.parameters, found.correlation)
    with open_atomic(arguments.plot) as stream:
        stream.write(picture.png_bytes(figure))


def _now(setup: Setup, name: str) -> float | None:
    """What the set-up has of it, where it is one number."""
    from ...scene.parameters import expand

    try:
        return float(expand((name,), setup)[0].value)
    except InputError:
        return None


def main(argv: Sequence[str]) -> int:
    """Run the tool; returns the exit status."""
    # a range that begins below 0 is no option: argparse takes words with a space for values
    words = [f" {word}" if re.match(r"-[\d.]+[^:]*:", word) else word for word in argv]
    return run_tool(_parser(), words, _run)
