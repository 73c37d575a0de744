"""The command line: ``graphlab COMMAND``. Each command parses, calls the library and prints; torch is imported late."""

from graphlab.cli.app import app, main

__all__ = ["app", "main"]
