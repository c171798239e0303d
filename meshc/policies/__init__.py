"""Policy slices, one folder each.

In: a policy's merged value; one Envoy message of the place it binds to.
Out: edits to that message.
Owns: the fields of one policy, their limits and defaults, and what they mean in Envoy.
Must not know: other slices, protocols, nodes.
"""
