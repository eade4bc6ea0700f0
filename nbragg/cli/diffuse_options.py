"""Options of diffuse scattering: rows of the one table."""

from __future__ import annotations

from .option import Option, count, flag

__all__ = ["ROWS"]

# fmt: off
#: in the order of the help
ROWS = (
    Option(("-llm_gamma",), ("axes",), "G [G G]", "A", "", "diffuse",
           "liquid-like motions: length over which displacements are alike, or three: along a, across it in "
           "the plane of a and b, along c*", ("diffuse.gamma_A",)),
    Option(("-llm_sigma",), ("axes",), "S [S S]", "A", "", "diffuse",
           "rms displacement along one direction, likewise; spots are weakened by exp(-V)",
           ("diffuse.sigma_A",)),
    count("-llm_order", "diffuse", "N", "1", "terms of the sum over powers of V", "diffuse.order"),
    count("-llm_stencil", "diffuse", "N", "1", "reflections around a point that count: 2 N + 1 along h, k, l",
           "diffuse.stencil"),
    flag("-llm_tail", "diffuse", "add the mean of what reflections beyond the stencil scatter",
          ("diffuse.tail", True)),
    count("-diffuse_oversample", "diffuse", "N", "1", "sub-pixels along a pixel edge",
           "sampling.diffuse_oversample"),
    flag("-diffuse_mosaic", "diffuse", "of every mosaic domain", ("sampling.diffuse_mosaic", True)),
    flag("-no_bragg", "diffuse", "leave the spots out", ("sampling.bragg", False)),
    flag("-only_diffuse", "diffuse", "leave out spots, backgrounds and water", ("sampling.bragg", False),
          ("run.only_diffuse", True)),
)
# fmt: on
