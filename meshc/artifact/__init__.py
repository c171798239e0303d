"""Leaf: the format of `out/`, and the border to delivery.

In: bytes with their paths.
Out: files on disk; `Manifest` and `NodeBundle` read back and verified.
Owns: the layout of `out/`, digests, the manifest, how a change becomes visible at once.
Must not know: specs, protobuf, what the bytes mean.  Imports the standard library only, because
the agent stands on it.
"""
