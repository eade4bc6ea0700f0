"""A data set that is rendered when it is asked for: any image alone, anywhere, the same each time."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, overload

from numpy.typing import NDArray

from ..base import validate as check
from ..base.errors import InputError, MemoryLimitError, NbraggError
from ..base.warn import said_before
from ..engine.backend import Queue, backend
from ..engine.options import RenderOptions
from ..io.images.metadata import ImageMetadata
from ..simulation.labels import labels_of
from ..simulation.simulator import Simulator, finished
from .containers.made import Failed, Made
from .recipe import DatasetRecipe
from .vary import Drawn, Rules

if TYPE_CHECKING:
    from ..simulation.result import Result
    from .torch_data import Images, ImageStream

__all__ = ["Dataset"]


class Dataset:
    """Labelled images of a recipe, each rendered when it is asked for.

    ``dataset[i]`` is image i with its labels.  Every random number hangs on the seed, the number of the image
    and what it is for, so that an image is the same whoever makes it, when and in what order.  A Dataset can
    be pickled, and holds no open files.

    Parameters
    ----------
    recipe : path-like, mapping or DatasetRecipe
        A YAML or JSON file, or what one holds.
    seed : int, optional
        Instead of the recipe's.
    threads : int, optional
        CPU threads of the renderer; None: as many as OpenMP takes.
    device : str
        As of `RenderOptions`.

    Attributes
    ----------
    recipe : DatasetRecipe

    Raises
    ------
    InputError
        For a recipe that says what cannot be; the message names the key.
    FileError
        For files that are missing.

    Examples
    --------
    >>> import nbragg
    >>> crystal = {"cell": [70, 80, 90, 90, 90, 90], "structure_factors": {"default_F": 100}}
    >>> jitter = {"norm": {"loc": 1, "scale": 0.01}, "as": "factor"}
    >>> recipe = {
    ...     "nanobragg_dataset": 1,
    ...     "images": 3,
    ...     "setup": {"crystal": crystal, "detector": {"fpixels": 64, "spixels": 64}},
    ...     "vary": {"orientation": "uniform", "crystal.cell": jitter},
    ... }
    >>> dataset = nbragg.Dataset(recipe)
    >>> len(dataset), dataset[2].image.shape, list(dataset[2].labels["parameters"])
    (3, (64, 64), ['crystal.cell.a', 'crystal.cell.b', 'crystal.cell.c'])
    """

    def __init__(
        self,
        recipe: str | os.PathLike[str] | Mapping[str, Any] | DatasetRecipe,
        *,
        seed: int | None = None,
        threads: int | None = None,
        device: str = "cpu",
    ) -> None:
        if isinstance(recipe, Mapping):
            recipe = DatasetRecipe.from_dict(recipe)
        elif isinstance(recipe, (str, os.PathLike)):
            recipe = DatasetRecipe.load(recipe)
        elif not isinstance(recipe, DatasetRecipe):
            raise InputError(f"a recipe, or the name of its file, was expected, not {recipe!r}")
        self.recipe = recipe if seed is None else recipe.replace(seed=seed)
        self.options = RenderOptions(device=device, threads=threads, precision=self.recipe.precision)
        self._rules: Rules | None = None
        self._simulators: dict[tuple[int, ...], Simulator] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"recipe": self.recipe, "options": self.options}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _rules=None, _simulators={})

    def with_threads(self, threads: int | None) -> Dataset:
        """The same data set on another number of CPU threads."""
        other = Dataset(self.recipe)
        other.options = self.options.replace(threads=threads)
        return other

    def __len__(self) -> int:
        if self.recipe.images is None:
            raise TypeError("the recipe does not say how many images there are: give images")
        return self.recipe.images

    @overload
    def __getitem__(self, i: int) -> Made: ...
    @overload
    def __getitem__(self, i: slice) -> list[Made]: ...
    def __getitem__(self, i: int | slice) -> Made | list[Made]:
        if isinstance(i, slice):
            return [self.make(k) for k in range(*i.indices(len(self)))]
        count = self.recipe.images
        if count is not None:
            if not -count <= i < count:
                raise IndexError(f"image {i} of {count}")
            i %= count
        return self.make(i)

    def __iter__(self) -> Iterator[Made]:
        return self.stream()

    def draw(self, image: int) -> Drawn:
        """What an image is made of: its Setup and what was drawn for it.

        Raises
        ------
        InputError
            For values that no set-up can have.
        """
        image = check.count("image", image, at_least=0, at_most=2**48)
        if self._rules is None:
            self._rules = self.recipe.rules
        with said_before():  # of what is alike in all images
            return self._rules.draw(image)

    def result(self, image: int) -> Result:
        """The rendered photons of an image, without noise.

        Raises
        ------
        InputError, MemoryLimitError, RenderError
        """
        with self._queue() as queue:
            return self._rendered(self.draw(image), queue)

    def _queue(self) -> Queue:
        """In which what stands behind the spots is kept from one image to the next, while it is the same."""
        return backend(self.options.device).queue(self.options)

    def _rendered(self, drawn: Drawn, queue: Queue) -> Result:
        with said_before():
            simulator = self._simulators.get(drawn.variant)
            if simulator is None:
                simulator = self._simulators[drawn.variant] = Simulator(drawn.setup, self.options)
            scene = simulator.at(drawn.setup).scene
            queue.submit(scene)
            raw, elapsed = queue.collect()
            return finished(raw, scene, elapsed, drawn.setup)

    def make(self, image: int) -> Made:
        """Image number ``image`` with its labels, whatever ``len`` says.

        Raises
        ------
        InputError, MemoryLimitError, RenderError
        """
        with self._queue() as queue:
            return self._made(image, self.draw(image), queue)

    def _made(self, image: int, drawn: Drawn, queue: Queue) -> Made:
        result = self._rendered(drawn, queue)
        recipe = self.recipe
        labels = labels_of(
            result,
            image=image,
            parameters=drawn.parameters,
            label_images=recipe.label_images,
            least=recipe.least_partiality,
            threads=self.options.threads,
        )
        pixels: NDArray[Any] = result.image
        if drawn.setup.response is not None:
            pixels = result.detect(recipe.seed, image=image, threads=self.options.threads).pixels
        return Made(pixels, labels, self._metadata(result), result.scene.mask_image)

    def _metadata(self, result: Result) -> ImageMetadata:
        """What an image file says; the recipe stands beside the images, once."""
        assert result.setup is not None
        return ImageMetadata.from_scene(result.scene, result.setup.beam)

    def made(self, numbers: Iterable[int]) -> Iterator[Made | Failed]:
        """Images by their numbers; one that cannot be made is told of, and does not stop the others.

        Yields
        ------
        Made or Failed

        Raises
        ------
        MemoryLimitError, MemoryError
            Where this machine has not the room for one.
        """
        left = iter(numbers)
        ended = False
        while not ended:
            with self._queue() as queue:  # a new one after an image that failed
                for image in left:
                    parameters: dict[str, Any] = {}
                    try:
                        drawn = self.draw(image)
                        parameters = drawn.parameters
                        made: Made | Failed = self._made(image, drawn, queue)
                    except MemoryLimitError:
                        raise  # of this machine, not of the image
                    except (NbraggError, ArithmeticError, ValueError) as error:
                        made = Failed(int(image), f"{type(error).__name__}: {error}", parameters)
                    yield made
                    if isinstance(made, Failed):
                        break
                else:
                    ended = True

    def stream(self, numbers: Iterable[int] | None = None) -> Iterator[Made]:
        """Images rendered one after the other, as a stored data set is read.

        Parameters
        ----------
        numbers : iterable of int, optional
            Which; None: all.

        Raises
        ------
        InputError, MemoryLimitError, RenderError
            Of an image that cannot be made, in its turn.
        """
        return self._streamed(range(len(self)) if numbers is None else numbers)

    def _streamed(self, numbers: Iterable[int]) -> Iterator[Made]:
        with self._queue() as queue:
            for image in numbers:
                yield self._made(image, self.draw(image), queue)

    def to_torch(self, *, iterable: bool = False, **options: Any) -> Images | ImageStream:
        """The images for PyTorch, rendered as they are asked for: `nbragg.dataset.torch_data.to_torch`.

        Raises
        ------
        MissingPackageError
            Without torch.
        """
        from .torch_data import to_torch

        return to_torch(self, iterable=iterable, **options)

    def __repr__(self) -> str:
        return f"Dataset({self.recipe!r})"
