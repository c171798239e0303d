"""Run one campaign and print its report; the exit code says whether it was clean."""

from __future__ import annotations

import argparse
import importlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.campaigns.report import Report

CAMPAIGNS: dict[str, tuple[str, str, float]] = {
    "kill": ("kill -9 at every system call of a delivery, then at random moments", "count", 20_000),
    "disk": ("ENOSPC, EIO, EROFS at every write, sync and rename", "count", 2_000),
    "power": ("images of a disk whose power went away", "count", 10_000),
    "live": ("changes under a running load", "count", 300),
    "soak": ("changes all the time, and what the agent holds meanwhile", "minutes", 120),
    "links": ("somebody swaps folders and files of the target for links", "minutes", 10),
    "envoys": ("every Envoy from 1.36 on, changes by an agent under each", "count", 12),
    "freeze": ("an agent that is stopped for long, and then goes on", "minutes", 10),
    "restart": ("kill -9 of meshc serve under thousands of streams", "count", 5_000),
    "walks": ("random clients of the xDS protocol, checked against a model", "count", 1_000_000),
    "attack": ("hostile clients of meshc serve, and what others notice", "minutes", 20),
    "outages": (
        "hosts, applications and Envoys that fail, under a load of every kind",
        "count",
        192,
    ),
}
"""Name → what it does, and how much of what by default; each is a module with a function `run`."""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns")
    commands = parser.add_subparsers(dest="name", required=True)
    for name, (text, unit, amount) in CAMPAIGNS.items():
        command = commands.add_parser(name, help=text, description=text)
        kind = int if unit == "count" else float
        command.add_argument(
            f"--{unit}",
            dest="amount",
            metavar="N",
            type=kind,
            default=kind(amount),
            help=f"default: {amount:,}",
        )
        command.add_argument("--seed", type=int, default=1, help="default: 1")
    return parser.parse_args()


def main() -> int:
    """Run it."""
    arguments = _arguments()
    module = importlib.import_module(f"tests.campaigns.{arguments.name}")
    unit = CAMPAIGNS[arguments.name][1]
    report: Report = module.run(**{unit: arguments.amount}, seed=arguments.seed)
    sys.stdout.write(report.text() + "\n")
    return 0 if report.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
