"""``nbragg info``: what an image file says and holds, or how this installation was built."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .common import ToolParser, add_shape_argument, read_image, run_tool

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["build", "main", "pixel_statistics"]

#: packages named by --build: those of the core, then those of the extras
_PACKAGES = (
    "numpy",
    "gemmi",
    "tifffile",
    "tqdm",
    "scipy",
    "fabio",
    "h5py",
    "hdf5plugin",
    "pyyaml",
    "matplotlib",
)


def _parser() -> ToolParser:
    parser = ToolParser(
        prog="nbragg info", description="Header and statistics of an image, or facts about the program."
    )
    parser.add_argument("image", metavar="IMAGE", nargs="?")
    parser.add_argument(
        "--build", action="store_true", help="version, compiled engine and packages of this installation"
    )
    parser.add_argument("--json", action="store_true", help="as one JSON object")
    add_shape_argument(parser)
    return parser


def pixel_statistics(image: NDArray[Any]) -> dict[str, Any]:
    """Shape, type and distribution of the pixels; those that are not finite are counted and left out."""
    import numpy as np

    values = image.astype(np.float64)
    finite = np.isfinite(values)
    good = values[finite]
    facts: dict[str, Any] = {"slow": image.shape[0], "fast": image.shape[1], "type": str(image.dtype)}
    facts["not_finite"] = int(values.size - good.size)
    if not good.size:
        return facts
    largest = int(np.where(finite, values, -np.inf).argmax())
    facts |= {
        "min": float(good.min()),
        "max": float(good.max()),
        "max_slow": largest // image.shape[1],
        "max_fast": largest % image.shape[1],
        "mean": float(good.mean()),
        "rmsd": float(good.std()),
        "sum": float(good.sum()),
        "zero": int((good == 0).sum()),
        "negative": int((good < 0).sum()),
    }
    for percentile in (1, 50, 99, 99.9):
        facts[f"percentile_{percentile:g}"] = float(np.percentile(good, percentile))
    if image.dtype.kind in "iu":
        facts["at_type_limit"] = int((image == np.iinfo(image.dtype).max).sum())
    return facts


def build() -> dict[str, Any]:
    """Version, engine and packages, as plain values."""
    from importlib import metadata

    from ... import __version__, _engine
    from ...engine.cpu import choose_isa

    compiler, flags = _engine.compiler()
    packages = {}
    for name in _PACKAGES:
        try:
            packages[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            packages[name] = "not installed"
    cupy = [
        d.metadata["Name"] for d in metadata.distributions() if (d.metadata["Name"] or "").startswith("cupy")
    ]
    packages["cupy"] = f"{metadata.version(cupy[0])} ({cupy[0]})" if cupy else "not installed"
    return {
        "nanobragg": __version__,
        "location": os.path.dirname(
            os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        ),
        "python": f"{platform.python_version()} ({sys.executable})",
        "platform": platform.platform(),
        "instruction_sets": dict(_engine.isa_levels()),
        "instruction_set_in_use": choose_isa(),
        "openmp": _engine.has_openmp(),
        "threads": _engine.max_threads(),
        "compiler": compiler,
        "compiler_flags": flags,
        "packages": packages,
    }


def _lines(values: Mapping[str, Any], indent: str = "") -> list[str]:
    width = max((len(key) for key in values), default=0)
    lines = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            lines += [f"{indent}{key}", *_lines(value, indent + "  ")]
        elif isinstance(value, str) and "\n" in value:
            lines += [f"{indent}{key}", *(f"{indent}  {line.rstrip()}" for line in value.splitlines())]
        else:
            lines.append(f"{indent}{key:<{width}}  {_text(value)}".rstrip())
    return lines


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.8g}"
    if isinstance(value, (tuple, list)):
        return " ".join(_text(v) for v in value)
    return str(value)


def _plain(value: Any) -> Any:
    """For JSON: NumPy values as Python's, everything unknown as text."""
    return value.item() if hasattr(value, "item") else str(value)


def _run(arguments: argparse.Namespace) -> None:
    from ...base.errors import InputError

    if arguments.build == (arguments.image is not None):
        raise InputError("give an image, or --build (nbragg info -h explains)")
    if arguments.build:
        facts = build()
    else:
        content = read_image(arguments)
        about = {key: value for key, value in content.metadata.items() if value is not None}
        facts = {"file": arguments.image, **about, "pixels": pixel_statistics(content.image)}
    print(json.dumps(facts, default=_plain) if arguments.json else "\n".join(_lines(facts)))


def main(argv: Sequence[str]) -> int:
    """Run the tool; returns the exit status."""
    return run_tool(_parser(), argv, _run)
