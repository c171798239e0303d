"""Changes under load: who asks, what changes, and the processes that run meanwhile.

generator   requests without pause, in a process that knows every failure
mesh        the specs as they are now, and the changes that can be drawn
servers     the servers behind the mesh: one Envoy that answers by itself
host        a node's Envoy and its agent as processes, and what the agent says
scene       all of them put together, without anybody who asks
held        what a process holds, and whether that grows
leaks       the agent with a leak that is made on purpose
"""
