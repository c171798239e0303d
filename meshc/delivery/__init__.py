"""Everything that runs beside Envoy.

In: a `NodeBundle`, the directory that a node's Envoy watches, Envoy's admin interface.
Out: a changed Envoy and a report of what it really did; or the previous files and the reason.
Owns: order, atomicity, acknowledgement, rolling back.
Must not know: specs, model, plan, compile; and its channels not each other.  The agent stands on
the standard library, because it is small and lives for years; what else a source needs is loaded
with that source.
"""
