"""Zoos by name: those that this project made, and published ones from a local copy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from graphlab.datasets.errors import DatasetError
from graphlab.datasets.local import data_folder
from graphlab.datasets.zoos.files import INDEX, read_zoo
from graphlab.datasets.zoos.inr_folders import read_inrs
from graphlab.datasets.zoos.small_cnn_zoo import read_small_cnn_zoo
from graphlab.datasets.zoos.trials import read_trials
from graphlab.datasets.zoos.zoo import Zoo

OWN: dict[str, str] = {
    "digits-inr": "graphlab zoo make inr datasets/digits-inr --count 7188",
    "digits-cnn": "graphlab zoo make cnn datasets/digits-cnn --count 1080 --set channels=[4,8,16] --set kernels=[3,5]",
    "sine-inr": "graphlab zoo make sine datasets/sine-inr --count 1000",
}
"""Zoos of this project, and the command that makes each; the first two come with the source code."""

_SMALL_CNN = ("cifar10", "fashion_mnist", "mnist", "svhn_cropped")

PUBLISHED: dict[str, tuple[str, Callable[[Path, bool], Zoo]]] = {
    "mnist-inr": ("mnist-inrs", lambda folder, strict: read_inrs(folder, strict=strict)),
    "fmnist-inr": ("fmnist_inrs", lambda folder, strict: read_inrs(folder, strict=strict)),
    **{
        f"small-cnn-zoo-{name}": (
            f"smallcnnzoo/{name}",
            lambda folder, strict: read_small_cnn_zoo(folder, strict=strict),
        )
        for name in _SMALL_CNN
    },
    "cnn-wild-park": ("cnn-wild-park", lambda folder, strict: read_trials(folder, strict=strict)),
}
"""Published zoos: their folder among the local copies, and how it is read."""

CHECKOUT = Path(__file__).parents[3] / "datasets"
"""Where zoos lie in the source code."""


def load_zoo(name: str, data_dir: str | Path | None = None, strict: bool = False) -> Zoo:
    """A zoo by name, or the one in a folder.

    Args:
        name: One of :data:`OWN` or :data:`PUBLISHED`, or a folder: of a zoo that ``graphlab zoo make`` made, or of runs
            in the style of ModelZoos.
        data_dir: The folder of local copies; default ``$GRAPHLAB_DATA``, else ``shared/data`` beside the checkout.
        strict: Refuse a zoo of which any network is missing or damaged, instead of skipping it.

    Raises:
        DatasetError: the name is unknown, the zoo is not where it was looked for, or it cannot be read.
    """
    folder = data_folder(data_dir)
    if name in PUBLISHED:
        below, read = PUBLISHED[name]
        if not (folder / below).is_dir():
            raise DatasetError(
                f"{name}: no local copy: there is no folder {folder / below} (--data-dir or $GRAPHLAB_DATA names "
                "another folder); it is not downloaded"
            )
        return read(folder / below, strict)
    places = [folder / name, CHECKOUT / name] if name in OWN else [Path(name)]
    found = next((place for place in places if place.is_dir()), None)
    if found is None and name in OWN:
        looked = " and ".join(map(str, places))
        raise DatasetError(f"{name} is not in {looked}; make it with\n  {OWN[name]}")
    if found is None:
        raise DatasetError(
            f"no zoo {name!r}: there is no such folder; by name there are {', '.join([*OWN, *PUBLISHED])}"
        )
    return read_zoo(found, strict) if (found / INDEX).exists() else read_trials(found, strict)
