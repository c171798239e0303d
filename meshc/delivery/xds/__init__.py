"""The dynamic mode: a gRPC server that gives Envoys the same resources as the files.

In: bundles (a folder, a published folder, Consul), requests of xDS clients.
Out: responses of the xDS protocol, state of the world and delta; what each node made of them.
Owns: the protocol, its order, who may ask for which node.
Must not know: specs, plans, how resources are made, the agent.

A generation of the bundle (`content`) is what connected nodes (`services`) are sent by the rules
of xDS (`protocol`) over connections with limits (`transport`), in one process or several
(`process`); `bootstrap` is what an Envoy starts with to be one of them.
"""
