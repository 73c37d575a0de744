"""Several runs of an experiment, into a run folder."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from graphlab.engine import folder as files
from graphlab.engine.curves import draw_curves
from graphlab.engine.devices import launched
from graphlab.engine.environment import environment
from graphlab.engine.errors import EngineError
from graphlab.engine.experiment import Experiment
from graphlab.engine.run import Means, run_seed
from graphlab.engine.summary import Summary, markdown_table, read_summary

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def train(
    experiment: Experiment,
    seeds: Sequence[int],
    folder: Path,
    *,
    device: str = "cpu",
    precision: str = "32-true",
    data_dir: Path | None = None,
    means: Means | None = None,
) -> Summary:
    """Train with each seed, and keep configuration, environment, logs, weights, table and curves in ``folder``.

    The same call again goes on where an earlier one was interrupted (by a signal, by the machine, by the deadline in
    ``means``), and adds seeds that are new; what has ended is not repeated.

    Args:
        seeds: distinct, not negative.
        folder: made if absent. See :mod:`graphlab.engine.folder` for what it then holds.
        device: see :func:`~graphlab.engine.devices.launched`, as for ``precision``.
        data_dir: where data sets lie.

    Returns:
        All runs in the folder.

    Raises:
        EngineError: the folder is of an experiment with other settings (the message lists them), or in use by another
            process; there is no such device; the protocol refuses data or settings with a ValueError; a run diverges.
    """
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise EngineError(f"expected one or more distinct seeds, none negative; got {list(seeds)}")
    with launched(device, precision) as fabric:
        return _train(experiment, seeds, folder, fabric, precision, data_dir, means or Means())


def _train(
    experiment: Experiment,
    seeds: Sequence[int],
    folder: Path,
    fabric: Fabric,
    precision: str,
    data_dir: Path | None,
    means: Means,
) -> Summary:
    is_first = fabric.global_rank == 0
    if is_first:
        files.open_folder(folder, experiment, precision, fabric.world_size)
    with files.locked(folder) if is_first else nullcontext():
        if is_first:
            files.add_environment(folder, environment(fabric.device, precision, fabric.world_size))
        fabric.barrier()
        try:
            protocol = experiment.protocol(fabric, data_dir)
        except ValueError as error:
            raise EngineError(f"{experiment.title}: {error}") from error
        for seed in seeds:
            run_seed(protocol, seed, files.seed_folder(folder, seed), means)
        summary = read_summary(folder)
        if is_first:
            write_summary(summary, folder)
    return summary


def write_summary(summary: Summary, folder: Path) -> None:
    """Write the table of the runs so far, as JSON and Markdown, and their curves."""
    files.write_json(folder / files.RESULTS, summary.document())
    files.write_text(folder / files.TABLE, markdown_table([summary]))
    draw_curves(folder, summary, folder / files.CURVES)
