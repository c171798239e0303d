"""What a parent tells a worker: its settings, over a pipe that nobody else reads."""

from __future__ import annotations

import pickle
from dataclasses import fields, replace
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from meshc.delivery.xds.settings import ServeSettings


def written(worker: str, settings: ServeSettings) -> bytes:
    """Write name and settings down, a token for Consul among them."""
    consul = None
    if settings.consul is not None:
        consul = {one.name: getattr(settings.consul, one.name) for one in fields(settings.consul)}
        consul["token"] = settings.consul.token.reveal()
    return pickle.dumps((worker, replace(settings, consul=None), consul))


def read(pipe: IO[bytes]) -> tuple[str, ServeSettings]:
    """Read name and settings."""
    worker, settings, consul = pickle.load(pipe)  # noqa: S301, it comes from the parent
    if consul is not None:
        from meshc.consul.secret import Secret  # noqa: PLC0415, who has one
        from meshc.consul.settings import ConsulSettings  # noqa: PLC0415, the same

        consul["token"] = Secret(consul["token"])
        settings = replace(settings, consul=ConsulSettings(**consul))
    return worker, settings
