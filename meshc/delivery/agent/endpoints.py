"""The endpoints of the moment: a bundle's own, or what health makes of them where it has a rule.

Nothing of that is imported, and Consul is not asked, before a bundle has such a rule.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meshc.artifact.layout import endpoints_path, is_health_path
from meshc.delivery.agent.swap import read_files

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping

    from meshc.artifact.store import NodeBundle
    from meshc.delivery.agent.generations import Generations
    from meshc.delivery.agent.health.narrower import Narrower
    from meshc.delivery.agent.settings import AgentSettings


class Endpoints:
    """What the endpoints of a bundle are now.

    ``notify`` is told a moment of the monotonic clock when they may have changed; without it
    nobody follows them, and whoever asks waits for an answer.
    """

    def __init__(
        self,
        settings: AgentSettings,
        store: Generations,
        notify: Callable[[float], None] | None = None,
    ) -> None:
        self._settings = settings
        self._store = store
        self._notify = notify
        self._narrower: Narrower | None = None
        self._has_rules = False

    def take_up(self, good: str | None) -> None:
        """Go on with what runs: follow its endpoints, also while the source gives nothing."""
        stored = None if good is None else self._store.describe(good)
        if good is None or stored is None or not _has_rules(stored.digests):
            return
        bundle = self._store.load(good)
        if bundle is not None:
            self.of(bundle)
        if self._narrower is not None:
            self._narrower.show()

    def of(self, bundle: NodeBundle) -> NodeBundle:
        """Return a bundle as it should be now.

        Raises:
            DeliveryError: a rule in it is damaged.
        """
        self._has_rules = _has_rules(bundle.files)
        if not self._has_rules:
            return bundle
        if self._narrower is None:
            from meshc.delivery.agent.health.narrower import Narrower  # noqa: PLC0415, memory

            self._narrower = Narrower(self._settings, self._notify)
        return self._narrower.narrowed(bundle, read_files(self._settings.target))

    def delivered(self) -> None:
        """Take note that what was asked for last lies in the target."""
        if self._has_rules and self._narrower is not None:
            self._narrower.delivered()
        else:
            self.close()

    def refuse(self, path: str, bundle: NodeBundle) -> bool:
        """Whether a refused file is a choice of the moment; it is not chosen again then."""
        return self._narrower is not None and self._narrower.refuse(path, bundle.files)

    def as_built(self, files: Mapping[str, bytes], good: str | None) -> Mapping[str, bytes]:
        """Return what lies in the target with the build's endpoints in the place of chosen ones."""
        if self._narrower is None or good is None:
            return files
        build = self._store.load(good)
        if build is None:
            return files
        chosen = self._narrower.chosen_in(files, build.files)
        return {**files, **{path: build.files[path] for path in chosen}}

    def described(self) -> list[dict[str, Any]]:
        """Say of each dependency that follows health what is used, and why."""
        return [] if self._narrower is None else self._narrower.described()

    def close(self) -> None:
        """Follow nothing any more."""
        narrower, self._narrower = self._narrower, None
        if narrower is not None:
            narrower.close()


def told_shortly(described: Iterable[Mapping[str, Any]], written: Container[str]) -> str:
    """Say in a few words what is used of the dependencies whose files were written."""
    return "; ".join(
        f"{one['service']} for {one['consumer']}: {one['used']} of {one['known']}"
        + (", too few pass" if one["panic"] else "")
        for one in described
        if endpoints_path(one["service"], one["consumer"]) in written
    )


def _has_rules(paths: Iterable[str]) -> bool:
    return any(map(is_health_path, paths))
