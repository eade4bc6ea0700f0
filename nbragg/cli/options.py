"""The one table of command-line options.

The parser, ``nanobragg -h`` and ``docs/cli.md`` are all made from :data:`OPTIONS`; nothing else knows an
option by name, save the few whose values need a rule of their own (see :mod:`nbragg.cli.parser`).
Spellings and defaults follow canonical 2.  This module imports no numerical library, so that help is instant.
"""

from __future__ import annotations

from typing import Any

from .crystal_options import CRYSTAL as _MORE_CRYSTAL
from .crystal_options import MOSAIC as _MORE_MOSAIC
from .diffuse_options import ROWS as _DIFFUSE
from .option import KINDS, Option
from .option import count as _count
from .option import file as _file
from .option import flag as _flag
from .option import number as _number
from .presets import PRESETS
from .response_options import ROWS as _RESPONSE

__all__ = ["GROUPS", "KINDS", "OPTIONS", "USAGE", "Option", "find", "help_text", "nearest"]

GROUPS: tuple[tuple[str, str], ...] = (
    ("crystal", "Crystal: cell, orientation, size and shape"),
    ("hkl", "Structure factors"),
    ("mosaic", "Mosaic spread and rotation"),
    ("beam", "Beam and sources"),
    ("detector", "Detector: size and sensor"),
    ("geometry", "Detector: beam centre, conventions and rotations"),
    ("surroundings", "What stands in the way of the light"),
    ("sampling", "Sampling and background"),
    ("diffuse", "Diffuse scattering"),
    ("response", "Detector response: counts, by these instead of the noise of nanoBragg.c"),
    ("files", "Output files"),
    ("seeds", "Random numbers"),
    ("run", "Running and reporting"),
    ("ignored", "Accepted for compatibility, without effect on the image (a warning says so)"),
)

_VECTOR = ("float", "float", "float")
_CUSTOM = (("detector.convention", "custom"),)


def _pivot(value: str) -> tuple[str, Any]:
    """The setting by which an option moves the pivot in the order of the line (canonical 3.4)."""
    return ("detector.pivot_in_order", value)


def _sized(names: tuple[str, ...], axes: str, text: str, what: str = "size") -> Option:
    sets = tuple(f"crystal.{what}_{axis}" for axis in axes)
    return Option(names, ("float",), "SIZE", "mm", "from -N", "crystal", text, sets)


def _convention(name: str, pivot: str, text: str, default: str = "") -> Option:
    also = (("detector.convention", name), _pivot(pivot))
    return Option((f"-{name}",), (), "", "", default, "geometry", text, (), also)


def _vector(name: str, target: str, default: str, text: str, unit: str = "") -> Option:
    return Option((name,), _VECTOR, "X Y Z", unit, default, "geometry", text, (target,), _CUSTOM)


def _spec(name: str, metavar: str, target: str, text: str) -> Option:
    sets = (f"surroundings.{target}",)
    return Option((name,), ("text",), metavar, "", "", "surroundings", f"{text}; may be given several times",
                  sets, repeats=True)  # fmt: skip


def _amorphous(
    names: str, kind: str, metavar: str, unit: str, text: str, field: str, *also: tuple[str, Any]
) -> Option:
    """Of nonBragg.c: without effect in nanoBragg.c."""
    spelled, sets = tuple(names.split("/")), (f"background.{field}",)
    return Option(spelled, (kind,), metavar, unit, "", "sampling", text, sets, also, exact=True)


def _centre(name: str, metavar: str, unit: str, default: str, pivot: str, text: str, target: str) -> Option:
    return Option((name,), ("float",), metavar, unit, default, "geometry", text, (target,), (_pivot(pivot),))


# fmt: off
_CRYSTAL = (
    Option(("-cell",), ("cell",), "A [B [C [AL [BE [GA]]]]]", "A, deg", "", "crystal",
           "unit cell; missing lengths copy A, missing angles are 90; ends at the next option",
           ("crystal.cell",)),
    _file("-mat*", "crystal", "",
          "MOSFLM orientation matrix: 9 numbers, rows x y z, columns a* b* c*, times the wavelength",
          "input.matrix"),
    Option(("-misset",), ("misset",), "X Y Z | random", "deg", "0 0 0", "crystal",
           "rotate the crystal about x, then y, then z; or turn it at random", ("crystal.misset_deg",)),
    _count("-random", "crystal", "N", "",
           "N images in random orientations, uniform, drawn by -misset_seed; numbered names, orientations in "
           "a CSV file", "run.random"),
    Option(("-orientation_frame",), ("choice",), "laboratory|imgcif", "", "laboratory", "crystal",
           "frame of the orientations in that file; imgcif: the one in which dxtbx reads NeXus images, beam "
           "along -z and spindle along +x", ("run.orientation_frame",), choices=("laboratory", "imgcif")),
    _count("-N", "crystal", "CELLS", "1", "unit cells along every axis",
           "crystal.N_a", "crystal.N_b", "crystal.N_c"),
    _count("-Na", "crystal", "CELLS", "1", "unit cells along a", "crystal.N_a"),
    _count("-Nb", "crystal", "CELLS", "1", "unit cells along b", "crystal.N_b"),
    _count("-Nc", "crystal", "CELLS", "1", "unit cells along c", "crystal.N_c"),
    _sized(("-xtalsize", "-xtal_size", "-samplesize", "-sample_size"), "abc",
           "crystal edge on all axes; sets the cell counts to edge/cell, rounded up"),
    _sized(("-xtal_thick", "-xtal_x", "-sample_thick", "-sample_x"), "a", "crystal edge along a"),
    _sized(("-xtal_width", "-xtal_y", "-sample_width", "-sample_y", "-width"), "b", "crystal edge along b"),
    _sized(("-xtal_heigh*", "-xtal_z", "-sample_heigh*", "-sample_z", "-heigh*"), "c",
           "crystal edge along c"),
    _sized(("-block_size",), "abc",
           "edge on all axes of the blocks that make up a crystal of -xtalsize, each scattering alone; sets "
           "the cell counts in its place; as many blocks as fill the crystal", "block_size"),
    _sized(("-block_x",), "a", "block edge along a", "block_size"),
    _sized(("-block_y",), "b", "block edge along b", "block_size"),
    _sized(("-block_z",), "c", "block edge along c", "block_size"),
    _number("-blocks", "crystal", "NUMBER", "", "1", "blocks of N cells in the beam, each scattering alone",
            "crystal.blocks"),
    _number("-illuminated_volume", "crystal", "VOLUME", "um^3", "one block of N cells",
            "volume of the crystal in the beam: as many blocks of N cells as fill it, each scattering alone",
            "crystal.illuminated_volume_um3"),
    _flag("-square_xtal", "crystal", "parallelepiped crystal", ("crystal.shape", "square"), default="on"),
    _flag("-round_xtal", "crystal", "ellipsoidal crystal", ("crystal.shape", "round")),
    _flag("-gauss_xtal", "crystal", "Gaussian spots without fringes", ("crystal.shape", "gauss")),
    Option(("-tophat_spots", "-binary_spots"), (), "", "", "off", "crystal",
           "spots of constant height with a sharp edge", (), (("crystal.shape", "tophat"),)),
    _number("-fudge", "crystal", "X", "", "1", "scales the argument of the spot shape", "crystal.fudge"),
)

_HKL = (
    _file("-hkl", "hkl", "",
          'text list "h k l F", P1, one reflection a line; # starts a comment. Or MTZ, structure-factor '
          "mmCIF, or a model (PDB, mmCIF, CIF), whose cell and wavelength are used unless given; a model's "
          "reflections reach as far as the detector, or -dmin, and are those of each energy of -spectrum",
          "input.hkl"),
    Option(("-column",), ("text",), "NAME", "", "by a stated rule", "hkl",
           "column of an MTZ or structure-factor mmCIF file to take", ("input.column",)),
    _number("-default_F", "hkl", "F", "electrons", "0", "amplitude of every reflection not listed",
            "hkl.default_F"),
    _file("-dump*", "hkl", "Fdump.bin",
          "binary cache: written after every -hkl read, and read when -hkl is not given; /dev/null: neither",
          "input.dump"),
)

_MOSAIC = (
    _number("-mosaic/-mosaici*/-mosaic_spr*", "mosaic", "SPREAD", "deg", "0",
            "mosaic spread: largest rotation of a domain", "crystal.mosaic_spread_deg"),
    _count("-mosaic_dom*", "mosaic", "N", "10 with a spread, else 1", "number of mosaic domains",
           "crystal.mosaic_domains"),
    _number("-phi", "mosaic", "PHI", "deg", "0", "spindle angle at the start", "crystal.phi_deg"),
    _number("-osc", "mosaic", "RANGE", "deg", "0", "rotation range", "crystal.osc_deg"),
    _number("-phistep", "mosaic", "STEP", "deg", "from -osc and -phisteps", "step between rotation angles",
            "crystal.phistep_deg"),
    _count("-phisteps", "mosaic", "N", "2 with -osc, else 1", "number of rotation angles",
           "crystal.phisteps"),
    _count("-frames", "mosaic", "N", "", "N consecutive images of -osc each; numbered names", "run.frames"),
)

_BEAM = (
    _number("-lambda*/-wave*", "beam", "WAVELENGTH", "A", "1", "wavelength", "beam.wavelength_A"),
    _number("-energy", "beam", "ENERGY", "eV", "", "photon energy, instead of the wavelength",
            "beam.energy_eV"),
    _number("-dispersion", "beam", "RANGE", "percent", "0", "wavelength range, full width",
            "beam.dispersion_pct"),
    _count("-dispsteps", "beam", "N", "2 with a range, else 1", "number of wavelengths",
           "beam.dispersion_steps"),
    Option(("-spectrum",), ("text",), "FILE | SHAPE:E,WIDTH[,N][,KEY=VALUE]", "eV", "", "beam",
           "photon energies and their weights, instead of the dispersion: a file of two columns (CrystFEL, "
           ".lam, CSV), a NeXus file, of which image i has row i (keys unit, channels, image), or "
           "gauss:E,FWHM (keys sigma, span, nodes), tophat:E,WIDTH, pink:E,SIGMA_LOW,SIGMA_HIGH, "
           "two_colour:E,SEPARATION,SIGMA (key ratio), sase:E,BANDWIDTH (keys spike, spikes, jitter, seed), "
           "drawn anew for every image; widths in eV, or as 0.5%; N channels; -lambda and -energy move its "
           "mean", ("input.spectrum",)),
    _count("-spectrum_channels", "beam", "N", "those of the file; of shapes 20, of sase 100",
           "channels of the spectrum; those of a file are put together", "input.spectrum_channels"),
    Option(("-spectral",), ("choice",), "auto|direct|line|culled", "", "auto", "beam",
           "how the energies of a spectrum are summed: one by one, by an integral over each channel, or one "
           "by one without those that cannot count", ("beam.spectral",),
           choices=("auto", "direct", "line", "culled")),
    _number("-divergence", "beam", "RANGE", "mrad", "0", "divergence in both directions, full width",
            "beam.hdivrange_mrad", "beam.vdivrange_mrad"),
    _number("-hdivrange", "beam", "RANGE", "mrad", "0", "horizontal divergence, full width",
            "beam.hdivrange_mrad"),
    _number("-vdivrange", "beam", "RANGE", "mrad", "0", "vertical divergence, full width",
            "beam.vdivrange_mrad"),
    _number("-hdivstep", "beam", "STEP", "mrad", "from range and count", "horizontal step",
            "beam.hdivstep_mrad"),
    _number("-vdivstep", "beam", "STEP", "mrad", "from range and count", "vertical step",
            "beam.vdivstep_mrad"),
    _count("-hdivsteps", "beam", "N", "from range and step", "horizontal number of sources",
           "beam.hdivsteps"),
    _count("-vdivsteps", "beam", "N", "from range and step", "vertical number of sources", "beam.vdivsteps"),
    _count("-divsteps", "beam", "N", "from range and step", "number of sources in both directions",
           "beam.hdivsteps", "beam.vdivsteps"),
    Option(("-divergence_profile",), ("choice",), "uniform|gauss", "", "uniform", "beam",
           "gauss: the ranges are the rms of a Gaussian, -hdivsteps x -vdivsteps the nodes of a quadrature",
           ("beam.divergence_profile",), choices=("uniform", "gauss")),
    _flag("-round_div", "beam", "trim the divergence grid to an ellipse", ("beam.round_div", True),
          default="on"),
    _flag("-square_div", "beam", "keep the corners of the divergence grid", ("beam.round_div", False)),
    _file("-sourcefile", "beam", "",
          "sources, one a line: X Y Z (m, from the sample) weight wavelength (m)", "input.sources"),
    Option(("-polar",), ("float",), "K", "", "0", "beam",
           "Kahn polarization factor, -1 to 1; a synchrotron has 0.99 or so", ("beam.polarization",),
           (("beam.nopolar", False),)),
    _flag("-nopolar", "beam", "no polarization factor", ("beam.nopolar", True)),
    _number("-fluence", "beam", "FLUENCE", "photons/m^2", "1.25932e+29", "incident photons per area",
            "beam.fluence"),
    _number("-flux", "beam", "FLUX", "photons/s", "0",
            "with -exposure and -beamsize, instead of the fluence", "beam.flux"),
    _number("-exposure", "beam", "TIME", "s", "1", "exposure time", "beam.exposure_s"),
    _number("-beamsize", "beam", "SIZE", "mm", "0.1", "beam edge; clips a larger crystal along b and c",
            "beam.beamsize_mm"),
)

_DETECTOR = (
    Option(("-detector",), ("text",), "NAME", "", "", "detector",
           "a detector of the library (nbragg detectors lists them): pixels, gaps between modules, sensor, "
           "panels; the beam in its middle unless other options say so", ("input.detector",)),
    _number("-pixel", "detector", "SIZE", "mm", "0.1", "pixel edge", "detector.pixel_mm"),
    _count("-detpixels", "detector", "N", "from -detsize", "pixels along both axes",
           "detector.fpixels", "detector.spixels"),
    _count("-detpixels_f/-detpixels_x", "detector", "N", "from -detsize", "pixels along the fast axis",
           "detector.fpixels"),
    _count("-detpixels_s/-detpixels_y", "detector", "N", "from -detsize", "pixels along the slow axis",
           "detector.spixels"),
    _number("-detsize", "detector", "SIZE", "mm", "102.4",
            "edge along both axes; pixel counts win over sizes",
            "detector.detsize_f_mm", "detector.detsize_s_mm"),
    _number("-detsize_f", "detector", "SIZE", "mm", "102.4", "edge along the fast axis",
            "detector.detsize_f_mm"),
    _number("-detsize_s", "detector", "SIZE", "mm", "102.4", "edge along the slow axis",
            "detector.detsize_s_mm"),
    _flag("-curved_det", "detector", "every pixel at the same distance from the sample",
          ("detector.curved", True)),
    _flag("-point_pixel", "detector", "solid angle 1/R^2, without pixel area and obliquity",
          ("detector.point_pixel", True)),
    Option(("-detector_abs*",), ("depth",), "DEPTH", "um", "inf", "detector",
           "attenuation depth of the sensor; inf or 0: no absorption", ("detector.attenuation_um",)),
    _number("-detector_thick", "detector", "THICKNESS", "um", "0", "sensor thickness",
            "detector.thickness_um"),
    _count("-detector_thicksteps/-thicksteps", "detector", "N", "2 with a thickness, else 1", "sensor layers",
           "detector.thicksteps"),
    Option(("-detector_material",), ("text",), "MATERIAL", "", "", "detector",
           "what the sensor is made of, which says its attenuation depth unless -detector_abs does; a name "
           "such as Si, CdTe, GaAs, GOS, or FORMULA:DENSITY with g/cm^3", ("detector.material",)),
    Option(("-detector_front",), ("text",), "MATERIAL,thick=UM", "", "", "detector",
           "what light crosses before it gets into the sensor, such as Al,thick=0.5; may be given several "
           "times", ("detector.front",), repeats=True),
    _file("-img", "detector", "",
          "take geometry from the header of this image (SMV; CBF, TIFF, HDF5 as far as they hold it); other "
          "options win", "input.img"),
    _file("-geometry", "detector", "",
          "take panels, beam and spindle from this file: DIALS .expt, CrystFEL .geom, NeXus NXmx, or an "
          "image's header; instead of every option that places a detector",
          "input.geometry"),
    _file("-expt", "detector", "",
          "the same of a DIALS .expt, with its first crystal and image; with -frames the images of its scan",
          "input.experiments"),
    _file("-mask", "detector", "",
          "skip the pixels that are 0 in this image (SMV, TIFF, CBF, NPY, HDF5); takes its header too",
          "input.mask"),
)

_GEOMETRY = (
    _centre("-distance", "DISTANCE", "mm", "100", "beam", "sample to detector, along the beam",
            "detector.distance_mm"),
    _centre("-close_distance", "DISTANCE", "mm", "from -distance", "sample",
            "sample to detector, along its normal", "detector.close_distance_mm"),
    _centre("-Xbeam", "X", "mm", "image centre", "beam", "beam centre, first axis of the convention",
            "detector.Xbeam_mm"),
    _centre("-Ybeam", "Y", "mm", "image centre", "beam", "beam centre, second axis of the convention",
            "detector.Ybeam_mm"),
    _centre("-Xclose", "X", "mm", "image centre", "sample", "point nearest the sample, fast axis",
            "detector.Xclose_mm"),
    _centre("-Yclose", "Y", "mm", "image centre", "sample", "point nearest the sample, slow axis",
            "detector.Yclose_mm"),
    _centre("-ORGX", "X", "pixels", "image centre", "sample", "point nearest the sample, as in XDS.INP",
            "detector.ORGX"),
    _centre("-ORGY", "Y", "pixels", "image centre", "sample", "point nearest the sample, as in XDS.INP",
            "detector.ORGY"),
    _convention("mosflm", "beam", "MOSFLM axes and beam centre", default="on"),
    _convention("xds", "sample", "XDS axes and origin"),
    _convention("adxv", "beam", "ADXV axes and beam centre"),
    _convention("denzo", "beam", "DENZO axes and beam centre"),
    _convention("dials", "beam", "DIALS axes and origin"),
    Option(("-pivot",), ("choice",), "beam|sample", "", "from the convention", "geometry",
           "what stays in place when the detector turns", ("detector.pivot",), choices=("beam", "sample")),
    _number("-detector_rotx", "geometry", "ANGLE", "deg", "0", "detector rotation about x",
            "detector.rotx_deg"),
    _number("-detector_roty", "geometry", "ANGLE", "deg", "0", "detector rotation about y",
            "detector.roty_deg"),
    _number("-detector_rotz", "geometry", "ANGLE", "deg", "0", "detector rotation about z",
            "detector.rotz_deg"),
    _centre("-twotheta", "ANGLE", "deg", "0", "sample", "detector swing about the two-theta axis",
            "detector.twotheta_deg"),
    _vector("-fdet_vector", "detector.fdet_vector", "0 0 1", "fast axis; as every vector here, selects the"
            " custom convention"),
    _vector("-sdet_vector", "detector.sdet_vector", "0 -1 0", "slow axis"),
    _vector("-odet_vector", "detector.odet_vector", "1 0 0", "detector normal, away from the sample"),
    _vector("-beam_vector", "beam.beam_vector", "1 0 0", "direction of the beam"),
    _vector("-polar_vector", "beam.polar_vector", "0 0 1", "direction of the E vector"),
    _vector("-spindle_axis", "crystal.spindle_axis", "0 0 1", "rotation axis, right-handed"),
    _vector("-twotheta_axis", "detector.twotheta_axis", "0 1 0", "axis of -twotheta"),
    _vector("-pix0_vector", "detector.pix0_vector_m", "from the beam centre",
            "sample to the corner of the first pixel; used with -physics exact only", "m"),
)

_SURROUNDINGS = (
    _flag("-air_path", "surroundings", "air between sample and detector", ("surroundings.gas", "air")),
    _flag("-helium_path", "surroundings", "helium between sample and detector",
          ("surroundings.gas", "helium")),
    Option(("-gas_path",), ("text",), "MATERIAL", "", "", "surroundings",
           "any gas between sample and detector, as FORMULA:DENSITY with g/cm^3", ("surroundings.gas",)),
    _number("-vacuum_path", "surroundings", "LENGTH", "mm", "0", "length of that way that is evacuated",
            "surroundings.vacuum_mm"),
    _spec("-window", "MATERIAL,thick=UM[,KEY=VALUE]", "windows",
          "sheet that scattered light crosses, such as Kapton,thick=25; keys thick (um), normal (beam, "
          "detector, radial or X:Y:Z), distance (mm from the sample)"),
    _spec("-beamstop", "KEY=VALUE[,KEY=VALUE]", "beamstops",
          "disc before the detector, such as distance=30,diameter=2,arm=0.3,angle=90; keys distance, "
          "diameter, arm (its width), centre U:V (mm), angle (deg), transmission"),
    _spec("-aperture", "KEY=VALUE[,KEY=VALUE]", "apertures",
          "plate with a hole, such as distance=-10,diameter=0.5; keys distance (negative: upstream), "
          "diameter, centre U:V (mm), transmission"),
    _spec("-shadow", "KEY=VALUE[,KEY=VALUE]", "shadows",
          "anything else with an outline, such as distance=2,polygon=0.2:-0.1:5:-0.5:5:0.5; keys distance, "
          "polygon U:V:U:V... (mm), transmission"),
    Option(("-sample_absorption",), ("text",), "MATERIAL,KEY=VALUE[,KEY=VALUE]", "", "", "surroundings",
           "absorption in what surrounds the crystal, such as water,radius=0.2; keys radius (mm, of a ball) "
           "or thick (mm, of a slab), normal X:Y:Z of a slab, at X:Y:Z (mm), the crystal's place",
           ("surroundings.sample_absorption",)),
    _spec("-upstream", "MATERIAL,thick=UM", "upstream",
          "what the beam crosses before the sample, such as Al,thick=100; it weakens the fluence"),
    _flag("-direct_beam", "surroundings", "the direct beam too, where the detector stands in it",
          ("surroundings.direct_beam", True)),
)

_SAMPLING = (
    Option(("-oversample",), ("int or word",), "N|auto", "", "from crystal size and geometry", "sampling",
           "sub-pixels along a pixel edge; auto: of as many as by default those that each pixel needs",
           ("sampling.oversample",), choices=("auto",)),
    _flag("-oversample_thick", "sampling", "absorption per sub-pixel and layer",
          ("sampling.oversample_thick", True)),
    _flag("-oversample_polar", "sampling", "polarization per sub-pixel and source",
          ("sampling.oversample_polar", True)),
    _flag("-oversample_omega", "sampling", "solid angle per sub-pixel", ("sampling.oversample_omega", True)),
    Option(("-roi",), ("int",) * 4, "XMIN XMAX YMIN YMAX", "pixels", "whole image", "sampling",
           "render this part only: fast limits, slow limits, inclusive, from 0", ("sampling.roi",)),
    _number("-dmin", "sampling", "D", "A", "0", "skip samples with a smaller spacing", "sampling.dmin_A"),
    _flag("-interpolate", "sampling", "tricubic interpolation between structure factors",
          ("sampling.interpolate", True), default="on when any N <= 2"),
    _flag("-nointerpolate", "sampling", "nearest structure factor always", ("sampling.interpolate", False)),
    _number("-water", "sampling", "SIZE", "um", "0", "background of this much water", "sampling.water_um"),
    Option(("-background",), ("text",), "SPEC", "", "", "sampling",
           "amorphous material in the beam: water, air, helium, unity or a file of rows s F, then keys, as "
           "in water,thick=0.1 or air,path=-30:80 (thick, width, height, size, path in mm, density, MW, "
           "molecules, unit, segments, interpolation, outside, sign); may be given several times",
           ("background.specs",), repeats=True),
    _count("-background_oversample", "sampling", "N", "1",
           "sub-pixels along a pixel edge for backgrounds and for what is in the way of the light",
           "sampling.background_oversample"),
    _amorphous("-stol", "file", "FILE", "",
               "background of rows sin(theta)/lambda, F: as -background FILE, with -physics exact only",
               "table", ("background.unit", "stol")),
    _amorphous("-4stol", "file", "FILE", "", "the same by 4 sin(theta)/lambda", "table",
               ("background.unit", "4stol")),
    _amorphous("-Q", "file", "FILE", "", "the same by 4 pi sin(theta)/lambda", "table",
               ("background.unit", "Q")),
    _amorphous("-density/-sample_den*", "float", "X", "g/cm^3", "density of what -stol describes", "density"),
    _amorphous("-MW/-molec*", "float", "X", "g/mol", "its molar mass", "molar_mass"),
    _amorphous("-molecules/-sample_molecules", "float", "N", "",
               "number of its molecules in the beam, instead", "molecules"),
)

_FILES = (
    _file("-floatfile/-floatimage", "files", "floatimage.bin", "raw float32 image", "output.float_file"),
    _file("-intfile/-intimage", "files", "intimage.img", "SMV image without noise", "output.int_file"),
    _file("-noisefile/-noiseimage", "files", "noiseimage.img", "SMV image with photon noise",
          "output.noise_file", ("output.noise", True)),
    _file("-pgmfile/-pgmimage", "files", "image.pgm", "8-bit preview", "output.pgm_file", ("output.pgm",
          True)),
    Option(("-save",), ("file",), "FILE", "", "", "files",
           "one more file; the suffix says the format: .cbf .nxs .h5 .tif .npy .png .pgm .img .bin; #### is "
           "the number of the image; a suffix alone stands for image_#### or noiseimage_####, of NeXus "
           "without number; may be given several times",
           ("output.save_files",), repeats=True),
    Option(("-save_as",), ("choice",), "photons|counts", "", "photons", "files",
           "what -save files hold: expected photons, or counts with noise", ("output.save_as",),
           choices=("photons", "counts")),
    Option(("-save_noise",), ("file",), "FILE", "", "", "files",
           "one more file, of counts with noise whatever -save_as says; named and repeated as -save",
           ("output.save_noise_files",), repeats=True),
    _flag("-nofiles", "files", "none of the four files above: those of -save and -save_noise alone",
          ("output.nofiles", True)),
    _count("-first_frame", "files", "N", "1", "number of the first image, where files are numbered",
           "output.first_frame"),
    _flag("-overwrite", "files", "-save replaces files that exist", ("output.overwrite", True), default="on"),
    _flag("-nooverwrite", "files", "-save refuses files that exist, before anything is rendered",
          ("output.overwrite", False)),
    Option(("-compression",), ("choice",), "gzip|bitshuffle|lz4|none", "", "gzip", "files",
           "of NeXus files; readers need a plug-in for bitshuffle and lz4", ("output.compression",),
           choices=("gzip", "bitshuffle", "lz4", "none")),
    _flag("-nonoise", "files", "no noise image", ("output.noise", False)),
    _flag("-nopgm", "files", "no preview", ("output.pgm", False)),
    _number("-scale", "files", "X", "", "55000/max",
            "scale of the SMV image without noise, and of -save files of whole numbers", "output.int_scale"),
    Option(("-pgmscale",), ("float",), "X", "", "50/rmsd", "files", "scale of the preview",
           ("output.pgm_scale",), (("output.pgm", True),)),
    _number("-adc*", "files", "OFFSET", "", "40",
            "offset added to both SMV images, and when given to -save files of whole numbers", "output.adc"),
    _flag("-header_offset", "files",
          "ADC_OFFSET in the headers of -intfile and -noisefile; the reference program writes none",
          ("output.header_offset", True)),
)

_SEEDS = (
    _count("-seed", "seeds", "N", "from the clock", "seed of the noise image, of counts", "run.seed"),
    _count("-mosaic_seed", "seeds", "N", "12345678", "seed of the mosaic domains", "crystal.mosaic_seed"),
    _count("-misset_seed", "seeds", "N", "as -seed", "seed of -misset random and -random",
           "crystal.misset_seed"),
)

_RUN = (
    Option(("-preset",), ("choice",), "|".join(PRESETS), "", "", "run",
           "a list of options that stands for an experiment; one on the line replaces all of its name in it: "
           + "; ".join(f"{name}, {preset.about}" for name, preset in PRESETS.items())
           + ". Give -hkl and an orientation beside it", ("run.preset",), choices=tuple(PRESETS)),
    Option(("-physics",), ("choice",), "nanobragg|exact", "", "nanobragg", "run",
           "nanobragg: as nanoBragg.c computes; exact: without its approximations", ("run.physics",),
           choices=("nanobragg", "exact")),
    Option(("-precision",), ("choice",), "double|mixed", "", "double; mixed on a GPU", "run",
           "arithmetic of the spot shapes", ("run.precision",), choices=("double", "mixed")),
    _number("-tolerance", "run", "PHOTONS", "photons", "0: none",
            "what a pixel may lose by samples that are left out", "run.tolerance_photons"),
    Option(("-device",), ("text",), "cpu|cuda|auto[:N]", "", "cpu", "run",
           "where to render: on the CPU, on GPU N (0), or there if possible", ("run.device",)),
    _count("-threads", "run", "N", "all cores", "threads to render with", "run.threads"),
    _flag("-printout", "run", "print how pixels came about (all of them, or that of -printout_pixel)",
          ("run.printout", True)),
    Option(("-printout_pixel", "-trace_pixel"), ("int", "int"), "FAST SLOW", "pixels", "", "run",
           "print how this pixel came about; may be given several times", ("run.printout_pixel",),
           (("run.printout", True),), repeats=True),
    _flag("-progress", "run", "progress bar on a terminal", ("run.progress", True), default="on"),
    _flag("-noprogress", "run", "no progress bar", ("run.progress", False)),
    _flag("-quiet", "run", "no report and no progress bar: warnings and errors alone", ("run.quiet", True)),
    Option(("-version", "--version"), (), "", "", "off", "run", "print the version and stop", (),
           (("run.version", True),)),
    Option(("-h", "-help", "--help"), (), "", "", "off", "run", "print this text and stop", (),
           (("run.help", True),)),
)

# fmt: on


def _ignored(names: str, kind: str, metavar: str, text: str) -> Option:
    values = (kind,) if kind else ()
    return Option(tuple(names.split("/")), values, metavar, "", "", "ignored", text, effect=False)


_IGNORED = (
    _ignored("-stolout", "file", "FILE", "radial average"),
    _ignored("-coherent", "", "", "add amplitudes instead of intensities"),
)

# fmt: off
#: every option, in the order of the help
OPTIONS: tuple[Option, ...] = (
    *_CRYSTAL, *_MORE_CRYSTAL, *_HKL, *_MOSAIC, *_MORE_MOSAIC, *_BEAM, *_DETECTOR, *_GEOMETRY,
    *_SURROUNDINGS, *_SAMPLING, *_DIFFUSE, *_RESPONSE, *_FILES, *_SEEDS, *_RUN, *_IGNORED,
)
# fmt: on


class Table:
    """The options of one command: what a word of its line spells.

    Parameters
    ----------
    options : tuple of Option
    program : str
        The command, for messages.
    """

    def __init__(self, options: tuple[Option, ...], program: str) -> None:
        self.options, self.program = options, program
        spelled = [(name, option) for option in options for name in option.names]
        self._exact = {name: option for name, option in spelled if not name.endswith("*")}
        prefixes = [(name[:-1], option) for name, option in spelled if name.endswith("*")]
        self._prefixes = sorted(prefixes, key=lambda item: -len(item[0]))

    def find(self, word: str) -> Option | None:
        """The option that ``word`` spells, or None: exact spellings first, then the longest prefix."""
        option = self._exact.get(word)
        if option is not None:
            return option
        return next((option for prefix, option in self._prefixes if word.startswith(prefix)), None)

    def nearest(self, word: str) -> str | None:
        """The known spelling most like ``word``, or None when nothing is like it."""
        from ..base import names

        known = [name.rstrip("*") for option in self.options for name in option.names if name[:2] != "--"]
        return names.nearest("-" + word.lstrip("-").split("=")[0], known)


TABLE = Table(OPTIONS, "nanobragg")
find, nearest = TABLE.find, TABLE.nearest


USAGE = """\
usage: nanobragg -cell A B C AL BE GA | -mat FILE | -expt FILE    -hkl FILE | -default_F F    [option ...]
       nanobragg -h     lists every option"""

_EXAMPLE = """\
example: nanobragg -hkl P1.hkl -cell 74 74 36 90 90 90 -misset 10 20 30 -N 20 -lambda 1 -distance 100
         nanobragg -hkl model.pdb -detpixels 1000 -save image.cbf"""


_WIDTH = 100
_COLUMN = 34


def _left(option: Option) -> str:
    names = ", ".join(option.names)
    return f"{names} {option.metavar}".rstrip()


def _right(option: Option) -> str:
    notes = [option.unit] if option.unit else []
    if option.default and option.default != "off":
        notes.append(f"default {option.default}" if option.default != "on" else "default")
    return option.help + (f" [{'; '.join(notes)}]" if notes else "")


def help_text() -> str:
    """Text of ``-h``: every option by group, with units and defaults."""
    lines = [
        "nanobragg: diffraction images of small crystals",
        "",
        USAGE,
        _EXAMPLE,
        "",
        "A * stands for any longer spelling. Later options override earlier ones.",
        "-img and -mask headers are read first, wherever they stand.",
    ]
    return "\n".join([*lines, *listing(OPTIONS)]) + "\n"


def listing(options: tuple[Option, ...]) -> list[str]:
    """Options by group, with units and defaults, as lines of text."""
    import textwrap

    lines: list[str] = []
    for key, title in GROUPS:
        members = [option for option in options if option.group == key]
        if members:
            lines += ["", f"{title}:"]
        for option in members:
            left = "  " + _left(option)
            wrapped = textwrap.wrap(_right(option), _WIDTH - _COLUMN)
            if len(left) > _COLUMN - 2:
                lines.append(left)
            else:
                lines.append(left.ljust(_COLUMN) + wrapped.pop(0))
            lines += [" " * _COLUMN + part for part in wrapped]
    return lines
