"""The `meshc` program."""

from __future__ import annotations

import sys

from meshc import __version__


def main() -> None:
    """Run the command line; the version is answered without loading anything else."""
    if sys.argv[1:] == ["--version"]:
        sys.stdout.write(f"meshc {__version__}\n")
        return
    from meshc.cli import run  # noqa: PLC0415, see above

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
