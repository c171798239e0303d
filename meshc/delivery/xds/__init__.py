"""The dynamic mode: a gRPC server that gives Envoys the same resources as the files.

In: bundles (a folder, a published folder, Consul), requests of xDS clients.
Out: responses of the xDS protocol, state of the world and delta; what each node made of them.
Owns: the protocol, its order, who may ask for which node.
Must not know: specs, plans, how resources are made, the agent.
"""
