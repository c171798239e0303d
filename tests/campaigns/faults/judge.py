"""What may lie on disk at any time, and after a run; nothing here asks the code under test."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from tests.campaigns.faults.sets import Files

OWN = ("bootstrap.json", "cds.json", "lds.json")
_ROUTE_FILE = re.compile(r'"\./(services/[^"]+/rds-[^"]+\.json)"')
_ENDPOINT_FILE = re.compile(r'"\./(services/[^"]+/eds\.json)"')
_CLUSTER = re.compile(r'"cluster": "([^"]+)"')


def files_in(target: Path) -> Files:
    """What an Envoy may read in a target."""
    places = [target / name for name in OWN] + sorted((target / "services").glob("*/*"))
    return {
        place.relative_to(target).as_posix(): place.read_bytes()
        for place in places
        if place.is_file()
    }


def torn(files: Files, *sets: Files) -> list[str]:
    """Files that are no whole file of one of the sets; union of clusters and the like allowed."""
    wrong = []
    for path, data in files.items():
        if any(one.get(path) == data for one in sets):
            continue
        if path in OWN[1:] and _is_in_between(data, [one[path] for one in sets if path in one]):
            continue
        wrong.append(f"{path} ({len(data)} bytes) is in no set")
    return wrong


def _is_in_between(data: bytes, wholes: list[bytes]) -> bool:
    """Whether a file holds only whole resources of the sets, each name once, under a new version.

    An intermediate set of clusters is wider than both; an intermediate set of listeners lacks
    those whose address is about to be taken.
    """
    try:
        content = json.loads(data)
    except ValueError:
        return False
    known = [one for whole in wholes for one in json.loads(whole)["resources"]]
    names = [one.get("name") for one in content["resources"]]
    return (
        bool(content["version_info"])
        and content["version_info"] not in {json.loads(w)["version_info"] for w in wholes}
        and all(one in known for one in content["resources"])
        and len(set(names)) == len(names)
    )


def dangling(files: Files) -> list[str]:
    """Why an Envoy that starts with these files would refuse them, or lack what it sends to."""
    found = [f"{name} is missing" for name in OWN if name not in files]
    if found:
        return found
    clusters, listeners = files["cds.json"].decode(), files["lds.json"].decode()
    try:
        names = {one["name"] for one in json.loads(clusters)["resources"]}
        json.loads(listeners)
        json.loads(files["bootstrap.json"])
    except ValueError:
        return ["a file is no JSON"]
    found = [
        f"{path} is referred to and missing"
        for path in _ENDPOINT_FILE.findall(clusters) + _ROUTE_FILE.findall(listeners)
        if path not in files
    ]
    found += [
        f"{path} sends to cluster {cluster}, which is not there"
        for path in _ROUTE_FILE.findall(listeners)
        for cluster in _CLUSTER.findall(files.get(path, b"").decode())
        if cluster not in names
    ]
    return found


def broken_memory(state: Path) -> list[str]:
    """What is damaged in the agent's memory; half-written files under other names do not count."""
    found = []
    ledger = state / "ledger.json"
    if ledger.exists() and read_ledger(state) is None:
        found.append("ledger.json is damaged")
    found += [
        f"stored file {place.stem[:12]} is damaged"
        for place in state.glob("generations/*.file")
        if hashlib.sha256(place.read_bytes()).hexdigest() != place.stem
    ]
    for place in state.glob("generations/*.json"):
        try:
            digests = json.loads(place.read_bytes())["files"].values()
        except (ValueError, KeyError):
            found.append(f"stored generation {place.stem[:12]} is damaged")
            continue
        if any(not (state / "generations" / f"{one}.file").is_file() for one in digests):
            found.append(f"stored generation {place.stem[:12]} lacks files")
    return found


def read_ledger(state: Path) -> dict[str, Any] | None:
    """The ledger as it lies there; None where it is missing or damaged."""
    try:
        outer = json.loads((state / "ledger.json").read_bytes())
        content: dict[str, Any] = outer["ledger"]
        text = json.dumps(content, sort_keys=True).encode()
    except (OSError, ValueError, KeyError):
        return None
    return content if hashlib.sha256(text).hexdigest() == outer["sha256"] else None


def lacks(files: Files, whole: Files) -> list[str]:
    """Files of a set that are not there; clusters may be more, and other files may lie around."""
    return [
        f"{path} is not that of the good generation"
        for path, data in whole.items()
        if files.get(path) != data
        and not (path == "cds.json" and path in files and _holds(files[path], data))
    ]


def _holds(wider: bytes, data: bytes) -> bool:
    there = json.loads(wider)["resources"]
    return all(one in there for one in json.loads(data)["resources"])


def leftovers(*folders: Path) -> Iterator[str]:
    """Files and folders that only exist while something is being written."""
    for folder in folders:
        for place in folder.rglob("*"):
            if place.name.endswith(".new") or place.name == ".meshc":
                yield f"{place.relative_to(folder)} is left over"


def stored_generations(state: Path) -> Collection[str]:
    """Names of the generations that are stored whole."""
    return {place.stem for place in state.glob("generations/*.json")}
