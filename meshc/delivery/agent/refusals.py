"""Say what was refused, and which line of which spec is behind it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from meshc.artifact.manifest import origin_of
from meshc.delivery.agent.ledger import Refusal

if TYPE_CHECKING:
    from meshc.artifact.store import NodeBundle
    from meshc.delivery.agent.validation import Verdict
    from meshc.delivery.errors import RefusedError

_SHOWN_RESOURCES = 3
_ROUTES = "rds-"


def refusal_of(error: RefusedError, bundle: NodeBundle) -> Refusal:
    """Say what a running Envoy has refused."""
    names = error.resources or ((_resource_in(error.path),) if _resource_in(error.path) else ())
    return Refusal(
        reason=error.message,
        path=error.path,
        resource=", ".join(names[:_SHOWN_RESOURCES]),
        place=_place(bundle, names),
        at=time.time(),
    )


def refusal_by(verdict: Verdict, bundle: NodeBundle) -> Refusal:
    """Say what the local judgement has refused."""
    name = verdict.resource or _resource_in(verdict.path)
    return Refusal(
        reason=f'this host\'s Envoy refuses "{name or verdict.path}": {verdict.reason}',
        path=verdict.path,
        resource=name,
        place=_place(bundle, (name,)),
        at=time.time(),
    )


def _place(bundle: NodeBundle, names: tuple[str, ...]) -> str:
    places = (origin_of(bundle.origins, bundle.node, name) for name in names)
    return next((place for place in places if place), "")


def _resource_in(path: str) -> str:
    """Return the one resource of a shared file: ``services/app/rds-outbound@front.json``."""
    _, _, rest = path.partition("/")
    service, _, name = rest.partition("/")
    if not name.startswith(_ROUTES):
        return service
    direction, _, caller = name.removeprefix(_ROUTES).removesuffix(".json").partition("@")
    return f"{direction}/{service}" + (f"@{caller}" if caller else "")
