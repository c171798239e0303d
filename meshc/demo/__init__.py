"""`meshc demo`: the sample mesh on this machine, with real Envoys, while requests run.

In: spec files, an Envoy program, loopback addresses.
Out: a story told line by line, an exit code; nothing that outlives it.
Owns: sample applications, processes, the request loop, what is expected of each step.
Must not know: how a mesh is compiled or delivered; it calls the same two functions as everybody.
"""

from meshc.demo.run import DemoOptions, run_demo

__all__ = ["DemoOptions", "run_demo"]
