"""Everything that runs beside Envoy.

In: a `NodeBundle`, the directory that a node's Envoy watches, Envoy's admin interface.
Out: a changed Envoy and a report of what it really did; or the previous files and the reason.
Owns: order, atomicity, acknowledgement, rolling back.
Must not know: specs, model, plan, compile.  The standard library only, because a small agent that
lives for years will stand on it.
"""
