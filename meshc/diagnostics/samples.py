"""Documents for the examples of the catalogue."""


def service(name: str, address: str, more: str = "", *, protocol: str = "HTTP") -> str:
    """Return a document with one host, for examples."""
    return (
        f"protocol: {protocol}\nhosts:\n- name: {name}\n"
        f"  ingressAddr: {{host: {address}, port: 80}}\n"
        f"  substanceAddr: {{host: 127.0.0.1, port: 9000}}\n{more}"
    )


CALLS_DB = "dependentServices:\n- name: db\n  egressPort: 9001\n"
