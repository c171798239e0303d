"""Leaf: how meshc talks to Consul, and what a Consul that misbehaves may cost.

In: an address, a token, a question.
Out: typed answers with their index, or a `ConsulError` that says what is wrong and what to do.
Owns: the libraries `consul` and `urllib3`, limits of time and size, the token, locks, waiting.
Must not know: what is kept in Consul or registered there, bundles, specs.  Everybody imports it
inside the function that needs it, so that who does not use Consul pays nothing for it.
"""
