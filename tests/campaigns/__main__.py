"""Run one campaign and print its report; the exit code says whether it was clean."""

from __future__ import annotations

import argparse
import importlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.campaigns.report import Report

CAMPAIGNS = {
    "kill": ("kill -9 at every system call of a delivery, then at random moments", 20_000),
    "disk": ("ENOSPC, EIO, EROFS at every write, sync and rename", 2_000),
    "power": ("images of a disk whose power went away", 10_000),
    "live": ("changes under a running load", 300),
}
"""Name → what it does, how much of it by default; each is a module with a function `run`."""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns")
    commands = parser.add_subparsers(dest="name", required=True)
    for name, (text, count) in CAMPAIGNS.items():
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--count", type=int, default=count, help=f"default: {count:,}")
        command.add_argument("--seed", type=int, default=1, help="default: 1")
    return parser.parse_args()


def main() -> int:
    """Run it."""
    arguments = _arguments()
    module = importlib.import_module(f"tests.campaigns.{arguments.name}")
    report: Report = module.run(count=arguments.count, seed=arguments.seed)
    sys.stdout.write(report.text() + "\n")
    return 0 if report.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
