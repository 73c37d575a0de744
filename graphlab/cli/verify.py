"""``graphlab verify``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from graphlab.cli import factory
from graphlab.cli.console import cells, print_json, progress, stdout, table, waiting
from graphlab.cli.errors import CommandError
from graphlab.cli.network import network_with_weights

if TYPE_CHECKING:
    from graphlab.weightgraph import Verification


def verify(
    target: Annotated[str, typer.Argument(help=f"A Hugging Face folder, or {factory.HELP}")],
    checkpoint: Annotated[
        Path | None, typer.Option(help="Weights to load into the module of package.module:function.")
    ] = None,
    output: Annotated[
        list[str] | None, typer.Option(help="An output that counts; may be repeated. Default: logits, else the first.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the permutations.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the checks as JSON.")] = False,
) -> None:
    """Prove the symmetries of a network by running it: every group of neurons that graphlab says is
    interchangeable is permuted at random, and the outputs must stay as they are. As a control, a wrong permutation
    must change them. Exit code 0 if, and only if, all groups pass.

    Example: [cyan]graphlab verify all-MiniLM-L6-v2/[/]

    Example: [cyan]graphlab verify my_project.nets:resnet --checkpoint resnet.pt[/]
    """
    from graphlab import weightgraph

    with waiting("Loading the network"):
        network = network_with_weights(target, checkpoint)
    with progress("Permuting groups") as update:
        try:
            result = weightgraph.verify(network.module, network.args, network.kwargs, output, seed, update)
        except ValueError as error:
            if output is None:
                raise
            raise CommandError(str(error)) from error
    if as_json:
        print_json(_document(result))
    else:
        _print(result)
    raise typer.Exit(0 if result.passed else 1)


def _document(result: Verification) -> dict[str, Any]:
    return {
        "passed": result.passed,
        "worst": result.worst,
        "checks": [
            {
                "group": check.group,
                "size": check.size,
                "within": list(result.structure.groups[check.group].within),
                "reason": result.structure.groups[check.group].reason,
                "difference": check.difference,
                "control": check.control,
                "verdict": check.verdict,
            }
            for check in result.checks
        ],
        "outputs": list(result.structure.counted),
        "without_rule": {name: list(lost) for name, lost in result.structure.without_rule.items()},
        "perturbed": list(result.perturbed),
    }


def _print(result: Verification) -> None:
    styles = {"symmetry": "green", "fixed": "dim", "not a symmetry": "bold red", "control not felt": "bold red"}
    shown = table(
        "group", "size", "within", "difference", "control", "verdict", right=("size", "difference", "control")
    )
    for check in result.checks:
        group = result.structure.groups[check.group]
        numbers = ["" if value is None else f"{value:.1e}" for value in (check.difference, check.control)]
        text = check.verdict if group.reason is None else f"{check.verdict}: {group.reason}"
        shown.add_row(
            *cells(check.group, f"{check.size:,}", ", ".join(group.within), *numbers),
            *cells(text, style=styles[check.verdict]),
        )
    console = stdout()
    console.print(shown)
    for operator in result.structure.without_rule:
        console.print(f"No rule for {operator}: what it touches is taken as fixed.", style="yellow")
    if result.perturbed:
        console.print(f"{len(result.perturbed)} constant tensors were given noise, so that a permutation is felt.")
    free = sum(check.difference is not None for check in result.checks)
    outputs = ", ".join(result.structure.counted)
    verdict = (
        f"[green]passed[/]: {free} groups may be permuted, and {outputs} changes by at most {result.worst:.1e} of its "
        "largest entry."
        if result.passed
        else f"[bold red]failed[/]: see the verdicts above (outputs that count: {outputs})."
    )
    console.print(verdict)
