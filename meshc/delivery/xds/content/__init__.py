"""What a node is to have, as a generation of a bundle says.

In: a folder of a build, a published folder, Consul.
Out: snapshots of nodes, encoded once and shared by digest.
Owns: when there is a new generation, and whether it is whole.
Must not know: connections, who is connected.
"""
