"""The command line: it parses, calls the public functions, and prints. Nothing else prints."""

from modecover.cli.main import main

__all__ = ["main"]
