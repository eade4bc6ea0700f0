"""``nbragg dataset new``: a commented recipe to begin with."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from .common import ToolParser, number, run_tool

__all__ = ["main"]


def _parser() -> ToolParser:
    parser = ToolParser(
        prog="nbragg dataset new",
        usage="nbragg dataset new MODEL_OR_LIST -o recipe.yaml [option ...]",
        description="Write a commented recipe of stills for a model (PDB, mmCIF) or a list of structure "
        "factors (MTZ, mmCIF, hkl): it can be made as it is, and says what can be changed.",
    )
    add = parser.add_argument
    add("source", metavar="MODEL_OR_LIST", help="model or list of structure factors")
    add("-o", "--output", metavar="FILE", default="recipe.yaml", help="the recipe; default recipe.yaml")
    add("--size", type=int, default=512, metavar="N", help="N x N pixels; default 512")
    add("--images", type=int, default=1000, metavar="N", help="how many; default 1000")
    add("--cell", type=number, nargs=6, metavar=("A", "B", "C", "ALPHA", "BETA", "GAMMA"),
        help="unit cell of a list that says none")  # fmt: skip
    add("--overwrite", action="store_true", help="replace a recipe that exists")
    return parser


def _run(arguments: argparse.Namespace) -> None:
    from ...dataset.starter import write_starter

    recipe = write_starter(
        arguments.source,
        arguments.output,
        size=arguments.size,
        images=arguments.images,
        cell=arguments.cell,
        overwrite=arguments.overwrite,
    )
    print(f"{arguments.output}: {recipe.images} images of {arguments.size} x {arguments.size} pixels")
    print(f"next: nbragg dataset check {arguments.output}")


def main(words: Sequence[str]) -> int:
    """Run the action; returns the exit status."""
    return run_tool(_parser(), words, _run)
