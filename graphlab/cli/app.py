"""The commands, gathered under the name ``graphlab``."""

from typing import Annotated

import typer

import graphlab
from graphlab.cli.align import align
from graphlab.cli.conformance import conformance
from graphlab.cli.convert import convert
from graphlab.cli.doctor import doctor
from graphlab.cli.draw import draw
from graphlab.cli.embed import embed
from graphlab.cli.errors import explained
from graphlab.cli.inspect import inspect
from graphlab.cli.list import list_
from graphlab.cli.results import results
from graphlab.cli.train import train
from graphlab.cli.verify import verify
from graphlab.cli.zoo import make, show

app = typer.Typer(
    name="graphlab",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(graphlab.__version__)
        raise typer.Exit


@app.callback()
def _graphlab(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Graph learning on PyTorch Geometric, in which a trained network is itself a graph."""


for command in (inspect, draw, convert, align, embed, verify, train, results, conformance, doctor):
    app.command()(explained(command))
app.command("list")(explained(list_))
zoo = typer.Typer(name="zoo", no_args_is_help=True, rich_markup_mode="rich", help="Zoos: many trained networks.")
zoo.command()(explained(make))
zoo.command()(explained(show))
app.add_typer(zoo)


def main() -> None:
    """Run the command line on the arguments of the process."""
    app()
