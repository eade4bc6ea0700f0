"""Options of crystals beyond the reference program's: rows of the one table."""

from __future__ import annotations

from .option import Option, flag, number

__all__ = ["CRYSTAL", "MOSAIC"]

# fmt: off
#: rows of the table, in the order of the help
CRYSTAL = (
    flag("-gauss_star", "crystal", "Gaussian spots, as wide in all directions of reciprocal space",
         ("crystal.shape", "gauss_star")),
    Option(("-Ndef",), ("float",) * 3, "ND NE NF", "", "0 0 0", "crystal",
           "cells off the diagonal of [[Na, Nd, Nf], [Nd, Nb, Ne], [Nf, Ne, Nc]], for -gauss_xtal and "
           "-tophat_spots", ("crystal.Ndef",)),
    Option(("-N_distribution",), ("text",), "KIND:NUMBERS", "", "", "crystal",
           "sizes that differ from image to image: lognormal:SIGMA, or lognormal:SA:SB:SC for each axis, of "
           "-N; uniform:LEAST:MOST, edges in nm", ("crystal.N_distribution",)),
    flag("-N_domains", "crystal", "draw -N_distribution for each mosaic domain instead of each image",
         ("crystal.N_domains", True)),
    flag("-no_N_scale", "crystal", "cells change the width of spots, not their height",
         ("crystal.no_N_scale", True)),
    flag("-normalise_shape", "crystal", "divide the spot shape by its integral over a reciprocal cell",
         ("crystal.normalise_shape", True)),
    Option(("-twin",), ("text",), "FRACTION:LAW", "", "", "crystal",
           "twin law and the share of the crystal that has it, as 0.3:-h,-k,l; may be given several times",
           ("crystal.twin",), repeats=True),
    Option(("-lattices",), ("text",), "N | poisson:MEAN", "", "1", "crystal",
           "crystals in the beam: this one and others in random orientations, drawn by -misset_seed; their "
           "number, or the mean of that drawn for each image of -random, of which 0 is a blank",
           ("run.lattices",)),
    Option(("-crystal",), ("file",), "FILE", "", "", "crystal",
           "another crystal in the beam, as JSON or YAML (nbragg.io.dump); may be given several times",
           ("input.crystals",), repeats=True),
)

MOSAIC = (
    Option(("-mosaic_aniso",), ("float",) * 3, "S1 S2 S3", "deg", "", "mosaic",
           "mosaic spread about each of -mosaic_axes, standard deviations", ("crystal.mosaic_spread_deg",),
           (("crystal.mosaic", "gauss"),)),
    Option(("-mosaic_kind",), ("choice",), "cap|angle|gauss", "", "cap; gauss with -physics exact", "mosaic",
           "distribution of the domains: in a cap of the spread, or the spread as standard deviation of the "
           "angle, or of the rotation about every axis", ("crystal.mosaic",),
           choices=("cap", "angle", "gauss")),
    Option(("-mosaic_axes",), ("choice",), "crystal|a*|laboratory", "", "crystal", "mosaic",
           "axes of -mosaic_aniso: a, c* x a, c*; a*, c x a*, c; or the laboratory's",
           ("crystal.mosaic_axes",),
           choices=("crystal", "a*", "laboratory")),
    Option(("-mosaic_set",), ("choice",), "random|lattice|antithetic", "", "lattice for gauss, else random",
           "mosaic", "how domains are chosen: drawn, evenly by a lattice, or drawn in opposite pairs",
           ("crystal.mosaic_set",), choices=("random", "lattice", "antithetic")),
    number("-cell_spread", "mosaic", "E", "fraction rms", "0",
           "how much the cells of domains differ, all edges alike", "crystal.cell_spread"),
    Option(("-cell_spread_edges",), ("float",) * 3, "EA EB EC", "fraction rms", "", "mosaic",
           "the same for each edge", ("crystal.cell_spread",)),
)
# fmt: on
