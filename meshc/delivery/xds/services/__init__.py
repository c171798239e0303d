"""The services of the server: discovery over gRPC and REST, client status, health.

In: connections, a generation.
Out: streams that are told of every change to their node.
Owns: who is connected for which node, and what each made of what it was sent.
Must not know: the process that it runs in.
"""
