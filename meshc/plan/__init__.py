"""Room 3: what one node must run, in proxy words, without protobuf.

In: `Mesh`, a node or a service of it.
Out: `NodePlan`, `ServicePlan`.
Owns: who listens where, who calls whom, which policy binds to what, what callers share.
Must not know: protobuf, the contents of policies.
"""
