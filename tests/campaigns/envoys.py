"""Every published Envoy from 1.36 on: files, an agent, and each way to be served.

For each version: every node of every case runs on its files, after that Envoy has judged the
build; an agent makes changes under load; a node with all features runs the same from files and
from a server in each way; and over the ordered ways no request fails over any kind of change.
The short form, one way for each version, is in the tests.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from meshc.delivery.xds.bootstrap import Subscribing
from meshc.proto import load_schema
from tests.campaigns.live import Size, run_sized
from tests.campaigns.report import Report
from tests.case import all_cases
from tests.delivery.live import upstream
from tests.delivery.xds.answering import answering
from tests.delivery.xds.certificates import certificates
from tests.delivery.xds.features import Features
from tests.delivery.xds.live import walk
from tests.delivery.xds.taking import check_served, on_files
from tests.envoy.checks import check_each_node
from tests.envoy.versions import VERSIONS, bring, on_path, program_of

if TYPE_CHECKING:
    from collections.abc import Iterator

_ORDERED = (Subscribing.ADS, Subscribing.DELTA_ADS)
_TRACERS = ("zipkin", "opentelemetry")
_REQUESTS = 150
"""After each kind of change over a server; the agent's changes have their own number."""


def run(*, count: int, seed: int) -> Report:
    """Look at all versions; the agent makes ``count`` changes under each."""
    report = Report(name="envoys", seed=seed)
    for version in VERSIONS:
        bring(version)
        started = time.monotonic()
        with on_path(version), tempfile.TemporaryDirectory(prefix="meshc-envoys-") as folder:
            _Version(version, Path(folder), report).look(count, seed)
        report.count("versions of Envoy")
        seconds = time.monotonic() - started
        report.notes.append(f"Envoy {version}: {seconds:.0f} s")
        sys.stderr.write(f"Envoy {version}: {seconds:.0f} s, {report.violations}\n")
    return report


class _Version:
    """One version, which is the one on the PATH."""

    def __init__(self, version: str, folder: Path, report: Report) -> None:
        self._version, self._folder, self._report = version, folder, report

    @contextlib.contextmanager
    def _doing(self, what: str) -> Iterator[Path]:
        """Give a folder to a part of the campaign, and let what fails in it end that alone."""
        folder = self._folder / what
        folder.mkdir()
        try:
            yield folder
        except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001, others go on
            said = str(error)[:500] or type(error).__name__
            self._report.violated(f"Envoy {self._version}, {what}: {said}")

    def look(self, changes: int, seed: int) -> None:
        self._look_at_cases()
        for tracing in _TRACERS:
            self._compare(tracing)
        for subscribing in _ORDERED:
            with self._doing(f"changes over {subscribing.value}") as folder:
                answers = walk(folder, subscribing, requests=_REQUESTS)
                self._report.count("requests answered over servers", answers.total())
        self._change_files(changes, seed)

    def _look_at_cases(self) -> None:
        schema = load_schema("1.40.0")  # prints what an Envoy dumps, all of which it knows
        for case in all_cases(about_mistakes=False):
            with self._doing(f"case {case.name}".replace("/", "-")) as folder:
                program = program_of(self._version)
                nodes = check_each_node(case, folder, program, schema, envoy=program)
                self._report.count("nodes of cases on their files", nodes)

    def _compare(self, tracing: str) -> None:
        with (
            upstream("127.0.0.1", "one") as one,
            upstream("127.0.0.1", "two") as two,
            answering("rpc") as rpc,
            self._doing(f"files with {tracing}") as folder,
        ):
            known = certificates(folder)
            mesh = Features(folder, tracing=tracing, own=one, rpc=rpc)
            before = mesh.build("before", one)
            after = mesh.build("after", two, is_changed=True)
            files = on_files(mesh, before, after, folder / "files")
            for subscribing in Subscribing:
                name = f"{subscribing.value} with {tracing}"
                with self._doing(name) as place:
                    check_served(
                        mesh,
                        before,
                        after,
                        place / "own",
                        subscribing=subscribing,
                        known=known,
                        expected=files,
                    )
                    self._report.count("nodes with all features that run the same")

    def _change_files(self, changes: int, seed: int) -> None:
        found = run_sized(
            Size(count=changes, requests_per_change=1_500, kill_every=6, overtake_every=5),
            seed=seed,
        )
        for what, number in found.counts.items():
            self._report.count(what, number)
        for violation in found.violations:
            self._report.violated(f"Envoy {self._version}, files under an agent: {violation}")
