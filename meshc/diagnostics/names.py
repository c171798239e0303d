"""The one rule for names of services, hosts and meshes."""

from __future__ import annotations

import re

NAME_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9_-]{0,63}$"
"""Safe as a file name, a Consul KV key segment and a part of an Envoy resource name, because none
of the separators ``/``, ``@`` and ``.`` is in it, and as an argument of a command, because it does
not begin like an option."""

NAME_RULE = 'names are 1 to 64 letters, digits, "-" and "_", and do not begin with "-"'
"""The rule in words, for hints."""

_NAME = re.compile(NAME_PATTERN.replace("$", r"\Z"))


def is_name(text: str) -> bool:
    """Whether a text follows the rule for names."""
    return _NAME.match(text) is not None
