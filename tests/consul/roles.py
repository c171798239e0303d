"""Roles: the rules in deploy/consul, filled in, and a token for each."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.consul.server import ConsulServer

FOLDER = Path(__file__).parent.parent.parent / "deploy" / "consul"


def rules(role: str, **values: str) -> str:
    """The rules of a role; ``MESH="shop"`` and the like say what stands for what."""
    text = (FOLDER / f"{role}.hcl").read_text()
    for name, value in values.items():
        assert name in text, (role, name)
        text = text.replace(name, value)
    return text


def token_for(server: ConsulServer, *given: str) -> str:
    """A token that may do what these rules say, all of them together, and nothing else."""
    return server.make_token("\n".join(given), f"test-{secrets.token_hex(8)}")
