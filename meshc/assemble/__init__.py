"""Compiled resources → the files of `out/`, doing again only what has to be done.

In: plans and compiled resources; what earlier builds left in the cache and in `out/`.
Out: changed files, staged; manifest lines.
Owns: what belongs in which file, what a file depends on, the build cache.
Must not know: how resources are made, what bytes mean to Envoy.

The cache is only ever a shortcut: everything in it is keyed by the digest of what it was made
from, and losing it costs time and nothing else.
"""
