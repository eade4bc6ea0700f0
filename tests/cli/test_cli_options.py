"""The option table: complete, unambiguous, and equal to what parser, help and documentation say."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

import nbragg
from nbragg.cli import docs, options, outputs
from nbragg.cli.options import GROUPS, KINDS, OPTIONS, Option, find, nearest
from nbragg.cli.settings import apply
from nbragg.cli.words import scan

ROOT = Path(__file__).resolve().parents[2]

#: spellings of the behaviour contract, by number of words that follow
SPELLINGS = {
    0: """-square_xtal -round_xtal -gauss_xtal -binary_spots -tophat_spots -round_div -square_div -nopolar
        -mosflm
        -xds -adxv -denzo -dials -curved_det -point_pixel -oversample_thick -oversample_polar
        -oversample_omega
        -interpolate -nointerpolate -printout -noprogress -progress -quiet -nonoise -nopgm -nofiles
        -overwrite -nooverwrite -header_offset -coherent -version -h
        -integrating -counting -gain_per_keV -raw -signed -flag_badpix -retrigger -noretrigger
        -rate_correction
        -air_path -helium_path -direct_beam -gauss_star -N_domains -no_N_scale -normalise_shape
        -llm_tail -diffuse_mosaic -no_bragg -only_diffuse
        -help
        --help --version""",
    1: """-mat -matrix -cell -hkl -default_F -dump -dumpfile -N -Na -Nb -Nc -samplesize -sample_size -xtalsize
        -xtal_size -sample_thick -sample_x -xtal_thick -xtal_x -sample_width -sample_y -xtal_width -xtal_y
        -width
        -sample_heigh -sample_height -sample_z -xtal_height -xtal_z -height -illuminated_volume
        -blocks -block_size -block_x -block_y -block_z
        -fudge -mosaic -mosaicity
        -mosaic_spread -mosaic_domains -mosaic_dom -phi -osc -phistep -phisteps -lambda -wave -wavelength
        -energy
        -dispersion -dispsteps -divergence -hdivrange -vdivrange -hdivstep -vdivstep -hdivsteps -vdivsteps
        -spectrum -spectrum_channels -spectral -divergence_profile
        -divsteps -sourcefile -polar -fluence -flux -exposure -beamsize -distance -close_distance -pixel
        -detpixels -detpixels_f -detpixels_x -detpixels_s -detpixels_y -detsize -detsize_f -detsize_s -Xbeam
        -Ybeam -Xclose -Yclose -ORGX -ORGY -pivot -detector_rotx -detector_roty -detector_rotz -twotheta
        -detector_abs -detector_absorb -detector_thick -detector_thicksteps -thicksteps -oversample -img -mask
        -dmin -water -floatfile -floatimage -intfile -intimage -pgmfile -pgmimage -noisefile -noiseimage
        -scale
        -pgmscale -adc -adcoffset -seed -mosaic_seed -misset_seed -stol -4stol -Q -stolout -background
        -background_oversample -molecules -sample_molecules -density
        -sample_den
        -sample_density -MW -molecular_weight -threads -physics -precision -tolerance -device -frames -random
        -save_as -save_noise -first_frame -compression
        -column -save -geometry -expt -orientation_frame -detector -detector_material -detector_front
        -gas_path -vacuum_path -window -beamstop -aperture -shadow -sample_absorption -upstream -preset
        -response -rng -photon_scale -flicker -calibration -calib_seed -calibration_as -psf -psf_fwhm
        -psf_stage -psf_radius -charge_sigma -threshold -fano -pair_energy -gain -gain_stages -readout -bits
        -saturation -overflow -badpix -badpix_seed -badpix_map -hotpix -hotpix_seed -hot_adu -dead_time
        -pulsed -summed_frames -mask_value -gap_value
        -N_distribution -twin -lattices -crystal -mosaic_kind -mosaic_axes -mosaic_set -cell_spread
        -llm_gamma -llm_sigma -llm_order -llm_stencil -diffuse_oversample""",
    2: "-printout_pixel -trace_pixel",
    3: """-Ndef -mosaic_aniso -cell_spread_edges
        -misset -fdet_vector -sdet_vector -odet_vector -beam_vector -polar_vector -spindle_axis
        -twotheta_axis
        -pix0_vector""",
    4: "-roi",
}

SAMPLE = {
    "float": "1",
    "int": "1",
    "file": "name",
    "text": "cpu",
    "depth": "inf",
    "cell": "10",
    "misset": "random",
    "axes": "1",
}


def words_of(option: Option) -> list[str]:
    """A command line with this option only."""
    if option.choices:
        return [option.name, option.choices[0]]
    return [option.name, *(SAMPLE[kind] for kind in option.values)]


@pytest.mark.parametrize("count", SPELLINGS)
def test_every_spelling_of_the_contract(count: int) -> None:
    for word in SPELLINGS[count].split():
        option = find(word)
        assert option is not None, word
        expected = 3 if option.values == ("misset",) else len(option.values)
        assert expected == count, word


def test_every_option_is_in_the_contract() -> None:
    listed = {word for words in SPELLINGS.values() for word in words.split()}
    for option in OPTIONS:
        for name in option.names:
            assert any(word.startswith(name.rstrip("*")) for word in listed), name


def test_spellings_are_unambiguous() -> None:
    names = [name for option in OPTIONS for name in option.names]
    assert len(names) == len(set(names))
    for option in OPTIONS:
        for name in option.names:
            assert find(name.rstrip("*")) is option, name


@pytest.mark.parametrize(
    ("longer", "name"),
    [
        ("-mosaic_domain_count", "-mosaic_dom"),
        ("-mosaic_spread", "-mosaic"),
        ("-lambda0", "-lambda"),
        ("-detector_absorption", "-detector_abs"),
        ("-adc_offset", "-adc"),
        ("-matfile", "-mat"),
    ],
)
def test_prefixes(longer: str, name: str) -> None:
    option = find(longer)
    assert option is not None and option.name == name


def test_table_is_well_formed() -> None:
    groups = {key for key, _ in GROUPS}
    for option in OPTIONS:
        assert option.group in groups
        assert set(option.values) <= set(KINDS)
        assert option.help and not option.help.endswith(".")
        assert bool(option.values) == bool(option.metavar), option.name
        assert bool(option.choices) == (option.values in (("choice",), ("int or word",)))
        assert option.effect == bool(option.sets or option.also), option.name
        assert bool(option.sets) == bool(option.values) or not option.effect, option.name


def test_every_setting_has_a_reader() -> None:
    records = {
        "beam": nbragg.Beam,
        "crystal": nbragg.Crystal,
        "detector": nbragg.Detector,
        "sampling": nbragg.Sampling,
        "response": nbragg.DetectorResponse,
        "surroundings": nbragg.Surroundings,
    }
    known = {f"{key}.{field.name}" for key, record in records.items() for field in dataclasses.fields(record)}
    known |= {f"output.{field.name}" for field in dataclasses.fields(outputs.Outputs)}
    made = {target for option in OPTIONS for target in (*option.sets, *(name for name, _ in option.also))}
    special = {
        "background.specs",
        "background.table",
        "background.unit",
        "background.density",
        "background.molar_mass",
        "background.molecules",
        "beam.energy_eV",
        "output.nofiles",
        "crystal.N_a",
        "crystal.N_b",
        "crystal.N_c",
        "crystal.size_a",
        "crystal.size_b",
        "crystal.size_c",
        "crystal.block_size_a",
        "crystal.block_size_b",
        "crystal.block_size_c",
        "detector.pivot_in_order",
        "hkl.default_F",
        "input.matrix",
        "input.hkl",
        "input.column",
        "input.dump",
        "input.sources",
        "input.spectrum",
        "input.spectrum_channels",
        "input.detector",
        "input.img",
        "input.geometry",
        "input.experiments",
        "input.mask",
        "output.pgm",
        "output.noise",
        "diffuse.gamma_A",
        "diffuse.sigma_A",
        "diffuse.order",
        "diffuse.stencil",
        "diffuse.tail",
        "run.only_diffuse",
        "run.seed",
        "run.frames",
        "run.preset",
        "run.physics",
        "run.precision",
        "run.tolerance_photons",
        "run.device",
        "run.random",
        "run.lattices",
        "input.crystals",
        "run.response",
        "run.rng",
        "input.gain_stages",
        "input.badpix_map",
        "run.orientation_frame",
        "run.threads",
        "run.printout",
        "run.printout_pixel",
        "run.progress",
        "run.quiet",
        "run.version",
        "run.help",
    }
    assert made <= known | special
    # and everything a record offers is within reach, save what comes from files
    elsewhere = {
        "crystal.orientation",  # Python only
        "crystal.diffuse",  # from -llm_gamma ...
        "crystal.rotation_deg",
        "crystal.domain_weight",
        "crystal.mosaic_weights",
        "crystal.twin_tolerance",
        "crystal.size_seed",  # set image by image
        "crystal.image",
        "beam.polarization_azimuth_deg",
        "detector.shift_mm",
        "beam.spectrum",
        "beam.sources",
        "crystal.a_matrix",
        "crystal.structure_factors",
        "crystal.N",
        "crystal.size_mm",
        "crystal.block_size_mm",
        "detector.mask",
        "detector.header_fields",
        "detector.panels",  # from -geometry, -detector
        "detector.groups",
        "detector.model",
        "output.dump_file",
        "response.adc",  # -adc, which has another meaning too
        "response.gain_stages",  # from a file
        "response.dead_map",
        "response.source",
    }
    assert known - made <= elsewhere


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_parser_knows_every_option(option: Option) -> None:
    given, *preset = scan(words_of(option))
    assert bool(preset) == (option.name == "-preset")
    assert given.option is option
    if option.name in ("-img", "-mask"):
        return
    settings: dict[str, object] = {}
    apply(settings, given)
    if option.effect:
        assert settings


def test_documentation_is_made_from_the_table() -> None:
    path = ROOT / "docs" / "cli.md"
    assert path.read_text(encoding="utf-8") == docs.markdown(), "run: python -m nbragg.cli.docs docs/cli.md"


def test_help_names_everything() -> None:
    text = options.help_text()
    for option in OPTIONS:
        for name in option.names:
            assert name in text
        for word in (option.unit, option.metavar):
            assert word in text
    assert max(len(line) for line in text.splitlines()) <= 110


@pytest.mark.parametrize(
    ("typed", "near"),
    [
        ("-distanc", "-distance"),
        ("-dist", "-distance"),
        ("--cell", "-cell"),
        ("-XBEAM", "-Xbeam"),
        ("-default_f", "-default_F"),
        ("-hdiv", "-hdivstep"),
        ("-dispstep", "-dispsteps"),
        ("-mosiac", "-mosaic"),
        ("-noplar", "-nopolar"),
        ("-misset=1", "-misset"),
    ],
)
def test_nearest(typed: str, near: str) -> None:
    assert nearest(typed) == near


def test_nothing_is_near() -> None:
    assert nearest("-%%%%") is None


def test_help_is_light() -> None:
    """-h imports nothing that takes time."""
    code = (
        "import sys; from nbragg.cli.nanobragg import main; main(['-h']);"
        "heavy = {'numpy', 'tqdm', 'gemmi', 'h5py', 'scipy', 'nbragg._engine'} & set(sys.modules);"
        "print(sorted(heavy), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert done.stdout == options.help_text()


def test_a_plain_render_loads_no_part_it_does_not_use(tmp_path: Path) -> None:
    """Nor what is only for messages and files of other kinds: an image begins at once."""
    code = (
        "import sys; from nbragg.cli.nanobragg import main;"
        "main('-cell 70 80 90 -default_F 100 -N 5 -detpixels 32 -noprogress'.split());"
        "models = ['response', 'background', 'surroundings'];"
        "scenes = ['obstacles', 'backdrop', 'surroundings', 'scatterers', 'parameters'];"
        "unused = {*['nbragg.model.' + x for x in models], *['nbragg.scene.' + x for x in scenes],"
        " 'nbragg.io.recipe', 'nbragg.analysis.trace', 'json', 'hashlib', 'gzip', 'difflib', 'secrets'};"
        "print(sorted(unused & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stderr.splitlines()[-1] == "[]"
