"""Bring a node's files under its running Envoy, or leave everything as it was.

A listener whose address another one takes over is removed for a moment, because Envoy cannot
swap addresses.  Anything else is replaced without refusing a connection.
"""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Never, assert_never

from meshc.artifact.layout import CDS, LDS
from meshc.delivery.agent.configuration import needs_restart, version_of
from meshc.delivery.agent.confirm import Outcome, Patience, Watch, await_zero, patiently
from meshc.delivery.agent.haste import Haste, unhurried
from meshc.delivery.agent.outset import stale_files, survey
from meshc.delivery.agent.steps import AwaitDrain, AwaitWarm, Put, Remove, plan_steps
from meshc.delivery.agent.swap import file_at, put_file, remove_file, sole_writer
from meshc.delivery.errors import AdminError, DeliveryError, EnvoyGoneError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from meshc.artifact.store import NodeBundle
    from meshc.delivery.agent.admin import EnvoyAdmin, ServerInfo
    from meshc.delivery.agent.configuration import Configuration
    from meshc.delivery.agent.confirm import Baseline
    from meshc.delivery.agent.outset import Outset
    from meshc.delivery.agent.steps import Step

_PATIENCE = Patience()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryResult:
    """What a delivery did.

    ``left_clusters`` could not be dropped yet, because listeners that may use them are still
    draining; the next delivery drops them.
    """

    has_changed: bool
    written: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    left_clusters: tuple[str, ...] = ()
    needs_restart: bool = False
    seconds: float = 0.0


def deliver(
    bundle: NodeBundle,
    directory: Path,
    *,
    patience: Patience = _PATIENCE,
    admin: EnvoyAdmin | None = None,
    info: ServerInfo | None = None,
    outset: Outset | None = None,
    haste: Callable[[], Haste] = unhurried,
) -> DeliveryResult:
    """Bring a bundle under the Envoy that runs on a directory; returns once Envoy has confirmed.

    Where Envoy runs exactly these files already, nothing is touched.  ``admin`` is found in the
    bootstrap that Envoy was started with, unless it is given; ``info`` is what it has just said
    about itself, so that it need not be asked again; ``outset`` is what a survey for this delivery
    has just found, and is taken where it still holds.  Once ``haste`` says so, nothing that can be
    done later is waited for: clusters that draining listeners use are left,
    and what does not get warm is taken back.

    Raises:
        RefusedError: Envoy did not accept a file; the previous files are back.
        DeliveryError: there is nothing to deliver to, the disk refuses, or Envoy went away.
    """
    started = time.monotonic()
    with sole_writer(directory):
        if outset is None or not outset.holds(directory):
            outset = survey(bundle, directory, admin=admin, info=info)
        delivery = _Delivery(
            directory=directory,
            node=bundle.node,
            admin=outset.admin,
            patience=patience,
            drain_s=outset.info.drain_time_s,
            files=dict(outset.old.files),
            baseline=outset.baseline,
            haste=haste,
        )
        delivery.run(outset.steps)
        if outset.steps:
            delivery.run_overlooked(outset.new)
    return DeliveryResult(
        has_changed=bool(outset.steps),
        written=tuple(dict.fromkeys(delivery.written)),
        removed=tuple(delivery.removed),
        left_clusters=delivery.left_clusters,
        needs_restart=needs_restart(outset.old, outset.new),
        seconds=time.monotonic() - started,
    )


@dataclass(slots=True, kw_only=True)
class _Delivery:
    """Runs steps and remembers how to undo them; ``files`` is what lies on disk at any time."""

    directory: Path
    node: str
    admin: EnvoyAdmin
    patience: Patience
    drain_s: float
    files: dict[str, bytes]
    baseline: Baseline
    haste: Callable[[], Haste] = unhurried
    written: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    left_clusters: tuple[str, ...] = ()
    _undo: list[tuple[Put, bytes | None]] = field(default_factory=list)
    _listeners_put_at: float | None = None

    def run(self, steps: Sequence[Step]) -> None:
        """Run the steps in order; puts everything back and raises where one does not succeed."""
        for step in steps:
            try:
                if not self._run(step):
                    return
            except DeliveryError as error:
                if isinstance(step, Remove):
                    error.is_restored = False  # all else is confirmed; the next try goes on here
                    raise
                self._put_back(error)

    def run_overlooked(self, new: Configuration) -> None:
        """Put once more what Envoy does not run after all, such as a shared subscription's."""
        try:
            versions = patiently(self.admin.versions, self.patience)
        except DeliveryError as error:
            self._put_back(error)
        # Clusters on disk are wider than the bundle's while listeners drain.
        self.run(plan_steps(new, new, stale=stale_files(new, versions) - {CDS}))

    def _run(self, step: Step) -> bool:
        """Run one step; False where the rest has to wait for the next delivery."""
        match step:
            case Put():
                self._put(step)
            case AwaitWarm():
                self._await_warm()
            case AwaitDrain():
                if not self._await_drained():
                    self.left_clusters = step.clusters
                    return False
            case Remove():
                undo = Put(path=step.path, data=b"", does="removed")
                self._undo.append((undo, self.files[step.path]))
                remove_file(self.directory, step.path)
                del self.files[step.path]
                self.removed.append(step.path)
            case _:
                assert_never(step)
        return True

    def _put(self, step: Put) -> None:
        self._undo.append((step, self.files.get(step.path)))
        outcome = self._write(step, step.data)
        if outcome is not Outcome.ACCEPTED:
            raise self._refused(step, outcome)
        self.written.append(step.path)

    def _write(self, step: Put, data: bytes) -> Outcome:
        """Put bytes into place and wait for Envoy's answer, waking it where it sleeps."""
        outcome = Outcome.ACCEPTED
        for _ in range(1 + self.patience.nudges):
            watch = None
            if step.subscriptions:
                watch = self._watch(step, data)
            self._replace(step.path, data)
            if watch is None:
                return outcome
            outcome = watch.wait()
            if outcome is not Outcome.MISSED:
                break
        return outcome

    def _watch(self, step: Put, data: bytes) -> Watch:
        return Watch(
            self.admin,
            step.subscriptions,
            version_of(data),
            self.patience,
            before=self.baseline.take(step.subscriptions),
        )

    def _replace(self, path: str, data: bytes) -> None:
        """Put bytes into place; ``files`` is right even if the disk refuses half of that.

        A rename may have been made, and Envoy have seen it, before the sync of its folder fails.
        """
        try:
            put_file(self.directory, path, data)
        except DeliveryError:
            found = file_at(self.directory, path)
            if found is None:
                self.files.pop(path, None)
            else:
                self.files[path] = found
            raise
        self.files[path] = data
        if path == LDS:
            self._listeners_put_at = time.monotonic()

    def _await_drained(self) -> bool:
        due_s = 0.0
        if self._listeners_put_at is not None:
            due_s = max(0.0, self._listeners_put_at + self.drain_s - time.monotonic())
        return await_zero(
            self.admin.draining,
            self.drain_s + self.patience.drain_margin,
            self.patience,
            self._is_in_a_hurry,
            due_s=due_s,
        )

    def _is_in_a_hurry(self) -> bool:
        return self.haste() is not Haste.NONE

    def _await_warm(self) -> None:
        began = time.monotonic()

        def must_end() -> bool:
            haste, spent = self.haste(), time.monotonic() - began
            return haste is Haste.STOP or (haste is Haste.NEWS and spent > self.patience.warm_least)

        is_warm = await_zero(self.admin.warming, self.patience.warm, self.patience, must_end)
        if not is_warm and self._is_in_a_hurry():
            raise DeliveryError(
                f'clusters or listeners of "{self.node}" were still warming when something else '
                "had to be done",
            )
        if not is_warm:
            raise DeliveryError(
                f'clusters or listeners of "{self.node}" were still warming after '
                f"{self.patience.warm:.0f} s",
                hint=f"see http://{self.admin.address}/config_dump: names that do not resolve, "
                "or health checks that never pass",
            )

    def _refused(self, step: Put, outcome: Outcome) -> RefusedError:
        resources, reasons = self._blamed(step, outcome)
        where = f'"{step.path}" of "{self.node}"'
        match outcome:
            case Outcome.MISSED:
                text = f"Envoy does not notice {where}, even when it is put in place again"
                hint = "the directory was replaced while Envoy ran; restart Envoy"
            case Outcome.FAILED:
                text = f"Envoy cannot read {where}"
                hint = "its log says why"
            case _:
                text = f"Envoy refuses {where}" + "".join(f": {reason}" for reason in reasons)
                hint = "its log says more" if reasons else "its log says why"
        return RefusedError(
            text,
            path=step.path,
            reasons=reasons,
            resources=resources,
            is_answer=outcome is not Outcome.MISSED,
            hint=hint,
        )

    def _blamed(self, step: Put, outcome: Outcome) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the names of refused resources, and Envoy's reasons, as far as it tells them."""
        if outcome is not Outcome.REJECTED:
            return (), ()
        try:
            if step.path == LDS:
                found = self.admin.listener_errors()
                return tuple(filter(None, found)), tuple(found.values())
            if step.path == CDS:
                return self._clusters_not_taken(step), ()
        except (AdminError, DeliveryError):
            pass
        return (), ()

    def _clusters_not_taken(self, step: Put) -> tuple[str, ...]:
        """Return changed clusters that Envoy does not have in this version; it names none."""
        put_version = version_of(step.data)
        before = {one["name"]: one for one in self._clusters(self._undo[-1][1])}
        has = self.admin.cluster_versions()
        return tuple(
            one["name"]
            for one in self._clusters(step.data)
            if before.get(one["name"]) != one and has.get(one["name"]) != put_version
        )

    def _clusters(self, data: bytes | None) -> list[dict[str, Any]]:
        found = json.loads(data or b"{}").get("resources", [])
        return [one for one in found if isinstance(one, dict) and isinstance(one.get("name"), str)]

    def _put_back(self, error: DeliveryError) -> Never:
        """Undo what was done, in reverse order, and raise what led to it with what came of it."""
        problems: list[DeliveryError] = []
        is_gone = isinstance(error, EnvoyGoneError)
        replaced = [
            (put, previous)
            for put, previous in reversed(self._undo)
            if self.files.get(put.path) != previous
        ]
        self._undo.clear()
        for put, previous in replaced:
            if previous is None:
                continue
            try:
                self._restore(put, previous, is_confirmed=not is_gone)
            except DeliveryError as problem:
                problems.append(problem)
                if self.files.get(put.path) != previous:
                    break  # what this file refers to must stay where it is
                is_gone = is_gone or isinstance(problem, AdminError)
        error.is_restored = not problems
        if problems:
            error.message += f"; putting the previous files back failed too: {problems[0].message}"
        else:
            for put, previous in replaced:
                if previous is None:
                    with contextlib.suppress(DeliveryError):  # nobody refers to it any more
                        remove_file(self.directory, put.path)
            error.message += "; the previous files were put back" if replaced else ""
        error.args = (error.message,)
        raise error

    def _restore(self, put: Put, previous: bytes, *, is_confirmed: bool) -> None:
        """Put one previous file back, also under an Envoy that no longer answers."""
        step = Put(
            path=put.path,
            data=previous,
            does="put back",
            subscriptions=put.subscriptions if is_confirmed else (),
        )
        try:
            if put.path == CDS and is_confirmed:
                # Listeners that were taken back may still send to clusters that are about to go.
                is_drained = self._await_drained()
                if not is_drained and self._is_in_a_hurry():
                    return  # a wider set of clusters is complete too; the next delivery prunes it
            outcome = self._write(step, previous)
        except AdminError:
            self._replace(put.path, previous)
            raise
        if outcome is not Outcome.ACCEPTED:
            raise self._refused(step, outcome)
