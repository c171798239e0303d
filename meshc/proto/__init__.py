"""The one room that knows protobuf and Envoy's schema.

In: a message in Envoy's JSON (plain dictionaries), its type, a version of Envoy.
Out: everything Envoy would refuse in it, with paths; the wire form of a right message.
Owns: the descriptors of each supported Envoy, the rules in them, the private descriptor pool.
Must not know: specs, plans, how messages are made, what they are for.

Descriptors come from the Envoy program itself (``python -m meshc.proto.extract``), because
every published package of the API lags behind it.  Messages are checked as dictionaries, never
as protobuf objects: that is twenty times faster, finds everything at once, and looks into
``Any``.  Protobuf is imported when a schema is loaded, not with this package.
"""

from meshc.proto.faults import Violation
from meshc.proto.schema import EnvoySchema, known_versions, load_schema

__all__ = ["EnvoySchema", "Violation", "known_versions", "load_schema"]
