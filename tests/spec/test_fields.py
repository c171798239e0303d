"""Names, addresses, labels: what is taken, what is refused, and how it is kept."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from meshc.diagnostics.names import is_name
from meshc.spec.fields import (
    Duration,
    HostAddress,
    HostPort,
    IpAddress,
    IpPort,
    Labels,
    Name,
    Port,
    canonical_ip,
    quoted,
)
from tests.spec.refusing import refusal

NAMES: TypeAdapter[str] = TypeAdapter(Name)
ADDRESSES: TypeAdapter[str] = TypeAdapter(IpAddress)
HOSTS: TypeAdapter[str] = TypeAdapter(HostAddress)
PORTS: TypeAdapter[int] = TypeAdapter(Port)
LABELS: TypeAdapter[dict[str, str]] = TypeAdapter(Labels)


# Names.


@pytest.mark.parametrize("text", ["a", "Z", "0", "_", "app-1", "App_2", "_-", "con", "x" * 64])
def test_a_name_is_1_to_64_letters_digits_dashes_and_underscores(text: str) -> None:
    assert is_name(text)
    assert NAMES.validate_python(text) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "a b", "a.b", "a/b", "a@b", "..", "a\n", "\na", "a\0", "é", "\u0430pp", "a:b"),
        *(
            "-",
            "--help",
            "-rf",
            "-a",
            "x" * 65,
            "a\\b",
            "a%2fb",
            "\uff41",
            "\u0661",
            "{{a}}",
            "$(a)",
        ),
    ],
)
def test_everything_else_is_no_name(text: str) -> None:
    assert not is_name(text)
    assert refusal(NAMES, text)[0] == "MC205"


def test_a_refused_name_is_quoted_and_the_rule_is_the_hint() -> None:
    assert refusal(NAMES, "my app") == (
        "MC205",
        '"my app" is not a valid name',
        'names are 1 to 64 letters, digits, "-" and "_", and do not begin with "-"',
    )


@pytest.mark.parametrize("value", [1, True, None, ["a"]])
def test_a_name_that_is_no_text_is_an_error_of_type(value: object) -> None:
    assert refusal(NAMES, value)[0] == "string_type"


# Quoting.


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("app", '"app"'),
        ('say "hi"', "\"say 'hi'\""),
        ("a\nb\tc\x1b[31m", r'"a\nb\tc\x1b[31m"'),
        ("caf\u00e9\u202e", r'"caf\xe9\u202e"'),
        ("back\\slash", r'"back\\slash"'),
        ("x" * 60, f'"{"x" * 60}"'),
        ("x" * 61, f'"{"x" * 57}…"'),
        (5, '"5"'),
        (1.5, '"1.5"'),
        (True, '"true"'),
        (None, '"null"'),
        ([1, "a"], "\"[1, 'a']\""),
        ({"a": None}, "\"{'a': null}\""),
        (Duration(1500), "\"'1500ms'\""),
    ],
)
def test_a_value_is_shown_quoted_on_one_line_as_its_author_would_write_it(
    value: object, shown: str
) -> None:
    assert quoted(value) == shown


# IP addresses.


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("0.0.0.0", "0.0.0.0"),
        ("255.255.255.255", "255.255.255.255"),
        ("::", "::"),
        ("0:0:0:0:0:0:0:0", "::"),
        ("::1", "::1"),
        ("FD00:0:0::000A", "fd00::a"),
        ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("::FFFF:0a00:0001", "10.0.0.1"),
        ("64:ff9b::10.0.0.1", "64:ff9b::a00:1"),
    ],
)
def test_an_address_is_kept_in_one_form(text: str, kept: str) -> None:
    assert canonical_ip(text) == kept
    assert ADDRESSES.validate_python(text) == kept
    assert HOSTS.validate_python(text) == kept


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("localhost", "write 127.0.0.1 or ::1: Envoy listens on addresses, not on names"),
        ("[::1]", "write IPv6 addresses without brackets"),
        (
            "fe80::1%eth0",
            "an address without an interface is needed: a global one, or one from fd00::/8",
        ),
        *(
            (
                text,
                "an IPv4 address has four decimal numbers from 0 to 255, without leading zeros",
            )
            for text in ("127.1", "010.0.0.1", "0x7f.0.0.1", "10.0.0.256", "1", "1.2.3.4.5", "0x1")
        ),
        *(
            (text, "write an IPv4 or IPv6 address; names are resolved for external hosts only")
            for text in (
                *("", "app.example.com", "10.0.0.1/8", "10.0.0.1:80", " 10.0.0.1"),
                *("10.0.0.1\n", ":::", "1::2::3", "\u0661.1.1.1", "::ffff:10.0.0"),
            )
        ),
    ],
)
def test_what_is_no_address_is_refused_with_what_to_write(text: str, hint: str) -> None:
    kind, message, given = refusal(ADDRESSES, text)

    assert (kind, given) == ("MC206", hint)
    assert message == f"{quoted(text)} is not an IP address"


@pytest.mark.parametrize("value", [10, None, True, ["10.0.0.1"]])
def test_an_address_that_is_no_text_is_an_error_of_type(value: object) -> None:
    assert refusal(ADDRESSES, value)[0] == "string_type"
    assert refusal(HOSTS, value)[0] == "string_type"


# DNS names.


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("localhost", "localhost"),
        ("API.Example.COM.", "api.example.com"),
        ("_dmarc.example.com", "_dmarc.example.com"),
        ("a-b.c--d", "a-b.c--d"),
        ("dead.beef", "dead.beef"),
        ("1.2.3.4a", "1.2.3.4a"),
        ("x" * 63 + ".com", "x" * 63 + ".com"),
        (".".join(["x" * 49] * 5) + ".abc", ".".join(["x" * 49] * 5) + ".abc"),
    ],
)
def test_a_called_host_may_have_a_name(text: str, kept: str) -> None:
    assert HOSTS.validate_python(text) == kept


@pytest.mark.parametrize(
    "text",
    [
        *("", ".", "a..b", "a.com..", ".com", "-a.com", "a-.com", "a.-b", "a b", "a/b", "a:80"),
        *("é.com", "x" * 64, ".".join(["x" * 50] * 5), "a.com\n", "[::1]", "fe80::1%lo", "a@b"),
    ],
)
def test_what_is_neither_address_nor_name_is_refused(text: str) -> None:
    assert refusal(HOSTS, text) == (
        "MC206",
        f"{quoted(text)} is neither an IP address nor a DNS name",
        None,
    )


@pytest.mark.parametrize(
    "text", ["127.1", "010.0.0.1", "10.0.0.256", "1.2.3.4.5", "7", "10.0.0.1."]
)
def test_an_address_in_disguise_is_no_name(text: str) -> None:
    kind, _, hint = refusal(HOSTS, text)

    assert kind == "MC206"
    assert hint is not None


@pytest.mark.parametrize("text", ["0x7f.0x1", "0X7F", "a.0x1"])
def test_a_name_that_ends_in_a_hexadecimal_number_is_refused(text: str) -> None:
    assert refusal(HOSTS, text)[0] == "MC206"


def test_both_kinds_of_address_keep_the_shortest_form_beside_their_port() -> None:
    assert IpPort.model_validate({"host": "::0", "port": 1}).host == "::"
    assert HostPort.model_validate({"host": "Api.", "port": 1}).host == "api"


# Ports.


@pytest.mark.parametrize("value", [1, 80, 65_535])
def test_a_port_is_a_number_from_1_to_65535(value: int) -> None:
    assert PORTS.validate_python(value) == value


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (0, "greater_than_equal"),
        (-1, "greater_than_equal"),
        (65_536, "less_than_equal"),
        ("80", "int_type"),
        (80.0, "int_type"),
        (True, "int_type"),
        (None, "int_type"),
    ],
)
def test_everything_else_is_no_port(value: object, kind: str) -> None:
    assert refusal(PORTS, value)[0] == kind


# Durations.

# Labels.


@pytest.mark.parametrize("key", ["a", "Z9", "team", "a.b/c-d_e", "x" * 64, "example.com/role"])
def test_a_label_name_has_letters_and_digits_at_both_ends(key: str) -> None:
    assert LABELS.validate_python({key: "x"}) == {key: "x"}


@pytest.mark.parametrize("key", ["", "-a", "a-", ".a", "a/", "a b", "é", "x" * 65, "a\n", "a=b"])
def test_other_label_names_are_refused(key: str) -> None:
    kind, message, _ = refusal(LABELS, {"fine": "x", key: "x"})

    assert (kind, message) == ("MC208", f"{quoted(key)} is not a valid label name")


def test_a_label_value_is_any_text_of_at_most_256_characters() -> None:
    assert LABELS.validate_python({"a": "é" * 256, "b": ""}) == {"a": "é" * 256, "b": ""}
    assert refusal(LABELS, {"a": "é" * 257}) == (
        "MC208",
        'the value of label "a" is longer than 256 characters',
        "labels are for short facts such as team or tier",
    )


@pytest.mark.parametrize("value", [1, True, None, [], 1.5])
def test_a_label_value_that_is_no_text_is_an_error_of_type(value: object) -> None:
    assert refusal(LABELS, {"a": value})[0] == "string_type"


def test_labels_that_are_no_mapping_are_an_error_of_type() -> None:
    assert refusal(LABELS, ["a"])[0] == "dict_type"


@given(st.one_of(st.from_regex(r"[0-9.]{1,16}", fullmatch=True), st.ip_addresses(v=4).map(str)))
def test_ipv4_addresses_are_those_of_the_standard_library(text: str) -> None:
    try:
        expected = str(ipaddress.IPv4Address(text))
    except ValueError:
        expected = None

    assert canonical_ip(text) == expected


@pytest.mark.parametrize("host", ["fe80::1", "febf::1", "FE80:0::1"])
@pytest.mark.parametrize("model", [IpPort, HostPort])
def test_a_link_local_address_is_none_without_its_interface(
    model: type[IpPort | HostPort], host: str
) -> None:
    with pytest.raises(ValidationError, match="is a link-local address"):
        model.model_validate({"host": host, "port": 80})


@pytest.mark.parametrize("host", ["fec0::1", "fd00::1", "fe7f::1", "169.254.0.1"])
def test_other_private_addresses_are_fine(host: str) -> None:
    assert IpPort.model_validate({"host": host, "port": 80}).host == host
