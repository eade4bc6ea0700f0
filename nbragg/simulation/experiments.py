"""Experiments of refinement programs, and the images that they stand for."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, overload

from ..base.cached import cached_property
from ..base.errors import FileError, InputError
from ..io.files.sniff import check_file, identify
from ..io.geometry.experiment import Experiment, ScanChanges, setup_of
from ..model.setup import Setup
from ..model.structure_factors import StructureFactors
from .series import Series

__all__ = ["Experiments", "read_experiments"]


class Experiments(Sequence[Experiment]):
    """Experiments of one file, in its order.

    Those that share imageset, beam, detector, goniometer and scan are one *shot*: several lattices in the
    same images.

    Parameters
    ----------
    experiments : sequence of Experiment

    Raises
    ------
    InputError
        For none.

    Examples
    --------
    >>> import nbragg
    >>> experiments = nbragg.read_experiments("refined.expt")  # doctest: +SKIP
    >>> factors = nbragg.StructureFactors.from_file("model.mtz")  # doctest: +SKIP
    >>> still = experiments.setup(factors, N=(20, 20, 20))  # doctest: +SKIP
    >>> frames = experiments.series(factors, N=(20, 20, 20), phisteps=5)  # doctest: +SKIP
    """

    def __init__(self, experiments: Sequence[Experiment]) -> None:
        self._experiments = tuple(experiments)
        if not self._experiments:
            raise InputError("experiments must be a sequence of at least one Experiment")

    @overload
    def __getitem__(self, i: int) -> Experiment: ...

    @overload
    def __getitem__(self, i: slice) -> Experiments: ...

    def __getitem__(self, i: int | slice) -> Experiment | Experiments:
        return Experiments(self._experiments[i]) if isinstance(i, slice) else self._experiments[i]

    def __len__(self) -> int:
        return len(self._experiments)

    def __repr__(self) -> str:
        return f"Experiments({len(self)} experiments, {len(self.shots)} shots)"

    @cached_property
    def shots(self) -> tuple[tuple[int, ...], ...]:
        """Indices of the experiments of each shot."""
        found: dict[object, list[int]] = {}
        for i, experiment in enumerate(self._experiments):
            # stills without an imageset share nothing
            shared = experiment.scan is not None or (experiment.shot and experiment.shot[0] is not None)
            key = experiment.shot if experiment.shot and shared else i
            found.setdefault(key, []).append(i)
        return tuple(map(tuple, found.values()))

    def _of_shot(self, shot: int, crystal: int | None) -> tuple[Experiment, ...]:
        shots = self.shots
        if not 0 <= shot < len(shots):
            raise InputError(f"shot {shot}: there are the shots 0 to {len(shots) - 1}")
        which = shots[shot]
        if crystal is not None:
            if not 0 <= crystal < len(which):
                raise InputError(f"crystal {crystal}: the shot has the crystals 0 to {len(which) - 1}")
            which = (which[crystal],)
        return tuple(self._experiments[i] for i in which)

    def setup(
        self,
        structure_factors: StructureFactors,
        *,
        shot: int = 0,
        crystal: int | None = None,
        image: int = 0,
        weights: Sequence[float] | None = None,
        mosaicity: bool = False,
        physics: str = "exact",
        **fields: Any,
    ) -> Setup:
        """The Setup of one image.

        Parameters
        ----------
        structure_factors : StructureFactors
            Of every crystal.
        shot : int
            Of `shots`.
        crystal : int, optional
            Which crystal of the shot; None: all of them, as a Sample.
        image : int
            Of the scan, counted from 0.
        weights : sequence of float, optional
            How much each crystal counts.
        mosaicity : bool
            Take the file's mosaicity, as it is, for ``mosaic_spread_deg``; programs define it differently.
        physics : str
        **fields
            Of Crystal, Beam and Sampling; they win over what the file says.

        Raises
        ------
        InputError
            For what the file does not say (see `Geometry.beam`, `Geometry.detector`), and for what is not
            there.
        """
        return setup_of(
            self._of_shot(shot, crystal),
            structure_factors,
            image=image,
            weights=weights,
            mosaicity=mosaicity,
            physics=physics,
            **fields,
        )

    def series(
        self,
        structure_factors: StructureFactors,
        *,
        shot: int | None = None,
        crystal: int | None = None,
        images: int | None = None,
        mosaicity: bool = False,
        physics: str = "exact",
        **fields: Any,
    ) -> Series:
        """Every image: the images of a scan, each with the crystal as it stands in its middle; or all stills.

        Parameters
        ----------
        structure_factors : StructureFactors
        shot : int, optional
            None: the only scan, or every still.
        crystal : int, optional
            None: all crystals of the shot.
        images : int, optional
            The first so many images of the scan.
        mosaicity, physics
            As `setup`.
        **fields
            As `setup`, but for the rotation, which the scan says.

        Returns
        -------
        Series

        Raises
        ------
        InputError
            As `setup`; for several shots of which one is a scan and none is named.
        """
        shots = self.shots
        stills = all(experiment.scan is None for experiment in self._experiments)
        more = {"mosaicity": mosaicity, "physics": physics, **fields}
        if shot is None and stills:
            if images is not None:
                raise InputError(
                    "images counts those of a scan; these are stills: take a slice of the experiments"
                )
            setups = _Stills(self, structure_factors, crystal, more)
            return Series(setups.setup(0), setups)
        if shot is None and len(shots) > 1:
            raise InputError(f"there are {len(shots)} shots: give shot=0 to {len(shots) - 1}")
        for name in ("phi_deg", "osc_deg", "phistep_deg"):
            if name in fields:
                raise InputError(f"{name} is said by the scan: leave it out, or make a Series of your own")
        chosen = self._of_shot(shot or 0, crystal)
        base = setup_of(chosen, structure_factors, **more)
        return Series(base, ScanChanges(chosen, base.sample, images))


class _Stills(Sequence[Mapping[str, Any]]):
    """What each of many stills has of its own, made when it is asked for."""

    def __init__(
        self,
        experiments: Experiments,
        factors: StructureFactors,
        crystal: int | None,
        more: Mapping[str, Any],
    ) -> None:
        self._experiments, self._factors, self._crystal = experiments, factors, crystal
        self._more, self._count = dict(more), len(experiments.shots)

    def setup(self, i: int) -> Setup:
        return self._experiments.setup(self._factors, shot=i, crystal=self._crystal, **self._more)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[i] for i in range(self._count))

    def __getitem__(self, i: Any) -> Any:
        if not -self._count <= i < self._count:
            raise IndexError(f"image {i} of {self._count} stills")
        setup = self.setup(int(i) % self._count)
        return {"sample": setup.sample, "beam": setup.beam, "detector": setup.detector}


def read_experiments(path: str | os.PathLike[str], *, values: Mapping[str, Any] | None = None) -> Experiments:
    """Read DIALS experiments: crystals, beams, detectors, goniometers and scans.

    Parameters
    ----------
    path : path-like
        A ``.expt`` file.
    values : mapping, optional
        As for `nbragg.read_geometry`.

    Returns
    -------
    Experiments

    Raises
    ------
    FileError
        Missing, damaged or no experiments; the message names the place.

    Examples
    --------
    >>> import nbragg
    >>> nbragg.read_experiments("no.expt")
    Traceback (most recent call last):
        ...
    nbragg.base.errors.FileError: experiment file no.expt does not exist
    """
    from ..io.geometry import expt

    file = check_file(path, what="experiment")
    if identify(file) != "json":
        raise FileError(
            f"{file} holds no DIALS experiments (.expt); nbragg.read_geometry reads other geometries"
        )
    return Experiments(expt.read_experiments(file, dict(values) if values else None))
