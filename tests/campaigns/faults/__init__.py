"""Faults of a delivery: what is killed or refused, where, and how the result is judged.

sets      old and new files of a node, and the folder in which a source gives them out
judge     what may lie on disk at any time, known without the code under test
played    an Envoy that reads the files and answers over HTTP, quicker to start than a real one
zygote    a warm process that forks the agent for one run
tracing   strace on one thread of that run: count its system calls, kill at one, fail one
swapper   somebody who swaps a place for a link, as a process of its own
rig       one place with all of that: prepare, run, kill, look
"""
