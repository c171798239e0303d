"""Codes 2xx: one document and its values."""

from meshc.diagnostics.entry import CatalogEntry

SCHEMA: tuple[CatalogEntry, ...] = (
    CatalogEntry(
        code="MC201",
        severity="error",
        title="unknown key",
        explanation="A key that meshc does not know is refused, because a setting with a typing "
        "mistake would otherwise be ignored without a word. The hint names the nearest known key.",
        example={
            "app.yaml": "protocol: HTTP\nhosts:\n- name: app1\n"
            "  ingresAddr: {host: 10.0.0.1, port: 80}\n"
            "  ingressAddr: {host: 10.0.0.1, port: 80}\n"
            "  substanceAddr: {host: 127.0.0.1, port: 9000}\n"
        },
    ),
    CatalogEntry(
        code="MC202",
        severity="error",
        title="missing key",
        explanation="A key without which the document means nothing is not there. The hint says "
        "what it is for.",
        example={"app.yaml": "hosts: []\n"},
    ),
    CatalogEntry(
        code="MC203",
        severity="error",
        title="wrong type of value",
        explanation="A value has another type than its key needs, for example text where a "
        'number belongs. Quotes make the difference: 80 is a number, "80" is text.',
        example={
            "app.yaml": "protocol: HTTP\nhosts:\n- name: app1\n"
            '  ingressAddr: {host: 10.0.0.1, port: "80"}\n'
            "  substanceAddr: {host: 127.0.0.1, port: 9000}\n"
        },
    ),
    CatalogEntry(
        code="MC204",
        severity="error",
        title="value out of range",
        explanation="A value has the right type but is not one of those that are allowed: a port "
        "above 65535, a protocol that meshc does not speak, an empty list.",
        example={"app.yaml": "protocol: HTPP\n"},
    ),
    CatalogEntry(
        code="MC205",
        severity="error",
        title="invalid name",
        explanation="Names of services, hosts and meshes are 1 to 64 letters, digits, "
        '"-" and "_", and do not begin with "-". They become file names, arguments of commands, '
        "Consul keys and parts of Envoy's resource names, and are safe as all of these. A service "
        "without name: has the name of its file.",
        example={"app.yaml": 'name: "my app"\nprotocol: HTTP\n'},
    ),
    CatalogEntry(
        code="MC206",
        severity="error",
        title="invalid address",
        explanation="Where something listens, an IPv4 or IPv6 address is needed; names are "
        "resolved for externalAddr and span collectors only. Spellings that programs read "
        "differently, such as 127.1 or 010.0.0.1, are refused everywhere.",
        example={
            "app.yaml": "protocol: HTTP\nhosts:\n- name: app1\n"
            "  ingressAddr: {host: localhost, port: 80}\n"
            "  substanceAddr: {host: 127.0.0.1, port: 9000}\n"
        },
    ),
    CatalogEntry(
        code="MC207",
        severity="error",
        title="invalid duration",
        explanation="A duration is a number with a unit: ms, s, m or h. A bare number would "
        "leave open what it counts. The shortest step is a millisecond, the longest duration 24h.",
        example={"app.yaml": "protocol: HTTP\ntimeouts: {request: 5}\n"},
    ),
    CatalogEntry(
        code="MC208",
        severity="error",
        title="invalid label",
        explanation="A label's name is 1 to 64 letters, digits and . _ - / with a letter or "
        "digit at both ends; its value is a text of at most 256 characters.",
        example={"app.yaml": 'protocol: HTTP\nlabels: {"team name": web}\n'},
    ),
    CatalogEntry(
        code="MC209",
        severity="error",
        title="keys that exclude each other",
        explanation="Two keys stand together that contradict each other, such as externalAddr "
        "(a host outside the mesh) beside ingressAddr (a host with an Envoy of ours).",
        example={
            "app.yaml": "protocol: HTTP\nhosts:\n- name: app1\n"
            "  ingressAddr: {host: 10.0.0.1, port: 80}\n"
            "  externalAddr: {host: 10.0.0.1, port: 80}\n"
        },
    ),
    CatalogEntry(
        code="MC210",
        severity="error",
        title="invalid size",
        explanation="A size is a whole number with a unit: KiB, MiB or GiB, which are powers of "
        "1024. The largest is 1GiB.",
        example={"app.yaml": "protocol: HTTP\nretries: {bodyBuffer: 16}\n"},
    ),
)
