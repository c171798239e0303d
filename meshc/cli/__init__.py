"""The command line: one module a command, wiring and printing, no logic.

In: arguments, environment, meshc.toml.
Out: text, exit codes.
Owns: names of commands and options, how results are shown.
Must not know: anything about content.

Exit codes: 0 clean; 1 errors in specs, or a check that failed; 2 wrong usage; 3 the world around
(files, programs, network); 4 a mistake of meshc; 130 ended by Ctrl-C.
"""

from meshc.cli.main import run

__all__ = ["run"]
