"""Read every file of a folder under a memory limit; print codes and CPU time of each.

Run in a process of its own, because what is tested for is the death of the process.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

from meshc.diagnostics import DiagnosticSink
from meshc.spec.source import read_source
from meshc.spec.yaml import parse_yaml

ADDRESS_SPACE = 512 * 1024 * 1024


def main(folder: Path) -> None:
    """Print one line of JSON for each file."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    for path in sorted(folder.iterdir()):
        if path.suffix == ".py" or path.is_dir():
            continue
        sink = DiagnosticSink()
        start = time.process_time()
        source = read_source(path, path.name, sink)
        document = None if source is None else parse_yaml(source, sink)
        spent = time.process_time() - start
        codes = sorted({found.code for found in sink.sorted()})
        line = {"name": path.name, "codes": codes, "seconds": spent, "read": document is not None}
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
