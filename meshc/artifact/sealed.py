"""Small JSON documents that carry the digest of their own bytes, so that no bit of them can flip.

    {"sha256":"<digest of the second line's value>",
    "pointer":{…}}

The digest is no signature: whoever may write a document can also write its digest.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from meshc.diagnostics.errors import BundleError


class DamagedError(BundleError):
    """A document is not what was written there."""


_HEAD, _MIDDLE, _END = b'{"sha256":"', b'",\n"', b"}\n"
_DIGEST_LENGTH = 64


def canonical(value: Any) -> bytes:
    """Return the one text of a JSON value: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def seal(kind: str, content: Any) -> bytes:
    """Write a document of a kind."""
    body = canonical(content)
    digest = hashlib.sha256(body).hexdigest().encode()
    return b"".join([_HEAD, digest, _MIDDLE, kind.encode(), b'":', body, _END])


def unseal(kind: str, text: bytes) -> dict[str, Any]:
    """Read a document of a kind.

    Raises:
        DamagedError: a single bit of it is not as it was written, or it is something else.
    """
    start = len(_HEAD) + _DIGEST_LENGTH
    middle = _MIDDLE + kind.encode() + b'":'
    body = text[start + len(middle) : -len(_END)]
    digest = hashlib.sha256(body).hexdigest().encode()
    if text != b"".join([_HEAD, digest, middle, body, _END]):
        raise DamagedError(f"the {kind} is damaged, or is no {kind} of meshc")
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"the {kind} is damaged: {error}") from error
    if not isinstance(content, dict):
        raise DamagedError(f"the {kind} is damaged: it is no JSON object")
    return content


def known_format(kind: str, content: dict[str, Any], known: int) -> None:
    """Refuse a document of another version of the layout.

    Raises:
        BundleError: it is of one.
    """
    if content.get("format") != known:
        raise BundleError(
            f"the {kind} has format {content.get('format')!r}, this meshc knows {known}",
            hint="use one version of meshc for publishing and delivering",
        )
