"""Room 5: is the result right?

In: compiled resources, and the set that makes up a node.
Out: diagnostics.
Owns: Envoy's schema applied to resources, references within a node, the Envoy binary's verdict.
Must not know: how resources were made.
"""
