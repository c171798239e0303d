"""`meshc serve` as a process, or as several on one port.

In: settings, signals, questions on the control socket.
Out: a server that follows its source and its certificates; status, metrics and log.
Owns: starting, switching, ending; workers.
Must not know: what a response holds.
"""
