"""Clashes on a host, and hosts that claim one address: code, place, words, the other place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.model.reading import calls, good, host, lines, linked, service

if TYPE_CHECKING:
    from pathlib import Path

DB = service(host("db1", "10.0.0.9"))
ANY_LEFT = "an address that means every address leaves no room for another on the same port"


def one_clash(folder: Path, texts: dict[str, str]) -> tuple[str, str | None, list[str]]:
    """The one finding, its hint, and the other place."""
    _, found = linked(folder, texts)
    (finding,) = found
    return (
        lines(found)[0],
        finding.hint,
        [f"{one.span}: {one.message}" for one in finding.related],
    )


def test_the_application_at_the_ingress_address_is_reported(tmp_path: Path) -> None:
    text = service(host("app1").replace("127.0.0.1, port: 9000", "10.0.0.1, port: 80"))

    assert one_clash(tmp_path, {"app.yaml": text}) == (
        (
            'MC312 app.yaml:5:18: host "app1" has the same address 10.0.0.1:80 as ingressAddr and '
            "as substanceAddr"
        ),
        (
            "Envoy and the application cannot both listen there; move the application, for example "
            "to 127.0.0.1"
        ),
        ["app.yaml:4:16: ingressAddr"],
    )


@pytest.mark.parametrize("wildcard", ["0.0.0.0", "'::'"])
def test_an_application_that_covers_the_ingress_address_is_reported(
    tmp_path: Path, wildcard: str
) -> None:
    text = service(host("app1").replace("127.0.0.1, port: 9000", f"{wildcard}, port: 80"))
    shown = "0.0.0.0" if wildcard == "0.0.0.0" else "[::]"

    assert one_clash(tmp_path, {"app.yaml": text}) == (
        (
            'MC313 app.yaml:5:18: on host "app1" the application of "app" (substanceAddr) and '
            f'traffic to "app" (ingressAddr) both need port 80: {shown}:80 and 10.0.0.1:80'
        ),
        ANY_LEFT,
        ['app.yaml:4:16: traffic to "app" (ingressAddr)'],
    )


def test_an_ipv4_wildcard_leaves_ipv6_alone(tmp_path: Path) -> None:
    text = service(host("app1", "fd00::1").replace("127.0.0.1, port: 9000", "0.0.0.0, port: 80"))

    good(tmp_path, {"app.yaml": text})


def test_an_ipv4_address_in_ipv6_clothes_clashes_with_itself(tmp_path: Path) -> None:
    text = service(host("app1").replace("127.0.0.1, port: 9000", "'::ffff:10.0.0.1', port: 80"))

    assert one_clash(tmp_path, {"app.yaml": text})[0].startswith("MC312 app.yaml:5:18: ")


def test_own_calls_on_the_applications_port_are_reported_at_egress_port(tmp_path: Path) -> None:
    text = service(host("app1"), more=calls("db", first_port=9000))

    assert one_clash(tmp_path, {"app.yaml": text, "db.yaml": DB}) == (
        (
            'MC313 app.yaml:8:15: on host "app1" calls from "app" to "db" (egressHost, egressPort) '
            'and the application of "app" (substanceAddr) both need port 9000: 127.0.0.1:9000 and '
            "127.0.0.1:9000"
        ),
        "give one of them another port",
        ['app.yaml:5:18: the application of "app" (substanceAddr)'],
    )


def test_two_dependencies_on_one_port_are_reported_at_the_later_name(tmp_path: Path) -> None:
    more = "dependentServices:\n- {name: db, egressPort: 9001}\n- {name: auth, egressPort: 9001}\n"
    texts = {
        "app.yaml": service(host("app1"), more=more),
        "db.yaml": DB,
        "auth.yaml": service(host("auth1", "10.0.0.8")),
    }

    assert one_clash(tmp_path, texts)[::2] == (
        (
            'MC313 app.yaml:7:26: on host "app1" calls from "app" to "db" (egressHost, egressPort) '
            'and calls from "app" to "auth" (egressHost, egressPort) both need port 9001: '
            "127.0.0.1:9001 and 127.0.0.1:9001"
        ),
        ['app.yaml:8:28: calls from "app" to "auth" (egressHost, egressPort)'],
    )


def test_a_clash_with_the_admin_page_of_the_mesh_points_at_the_host(tmp_path: Path) -> None:
    text = service(host("app1", app=9901))

    assert one_clash(tmp_path, {"app.yaml": text}) == (
        (
            'MC313 app.yaml:5:18: on host "app1" the application of "app" (substanceAddr) and '
            "Envoy's admin interface both need port 9901: 127.0.0.1:9901 and 127.0.0.1:9901"
        ),
        "give one of them another port",
        ["app.yaml:3:3: Envoy's admin interface"],
    )


def test_a_clash_with_a_hosts_own_admin_page_points_at_it(tmp_path: Path) -> None:
    text = service(host("app1", more="  adminAddr: {host: 127.0.0.1, port: 9000}\n"))

    assert one_clash(tmp_path, {"app.yaml": text})[2] == ["app.yaml:6:14: Envoy's admin interface"]


def test_equal_ports_at_different_addresses_are_no_clash(tmp_path: Path) -> None:
    good(tmp_path, {"app.yaml": service(host("app1", port=9000, app=9000))})


def test_two_services_on_one_host_may_not_share_the_ingress_address(tmp_path: Path) -> None:
    texts = {
        "app.yaml": service(host("box")),
        "db.yaml": service(host("box", app=9001)),
    }

    assert one_clash(tmp_path, texts)[::2] == (
        (
            'MC313 db.yaml:4:16: on host "box" traffic to "db" (ingressAddr) and traffic to "app" '
            "(ingressAddr) both need port 80: 10.0.0.1:80 and 10.0.0.1:80"
        ),
        ['app.yaml:4:16: traffic to "app" (ingressAddr)'],
    )


def test_two_services_that_share_an_application_give_a_warning(tmp_path: Path) -> None:
    texts = {
        "app.yaml": service(host("box")),
        "db.yaml": service(host("box", port=81)),
    }

    assert one_clash(tmp_path, texts) == (
        (
            'MC317 db.yaml:5:18: on host "box" services "app" and "db" share the application '
            "address 127.0.0.1:9000"
        ),
        "fine if one program serves both; otherwise give each its own port",
        ["app.yaml:5:18: the other service"],
    )


def test_two_consumers_on_one_host_may_not_share_an_egress_port(tmp_path: Path) -> None:
    texts = {
        "app.yaml": service(host("box"), more=calls("db")),
        "web.yaml": service(host("box", port=81, app=9005), more=calls("db")),
        "db.yaml": DB,
    }

    assert one_clash(tmp_path, texts)[0].startswith(
        'MC313 web.yaml:8:15: on host "box" calls from "web" to "db"'
    )


@pytest.mark.parametrize("wildcard", ["0.0.0.0", "::", "0:0::0"])
def test_an_ingress_address_that_nobody_can_call_is_reported(tmp_path: Path, wildcard: str) -> None:
    shown = "0.0.0.0" if "." in wildcard else "::"

    assert one_clash(tmp_path, {"app.yaml": service(host("app1", wildcard))}) == (
        f'MC318 app.yaml:4:23: ingressAddr of host "app1" is {shown}, to which nobody can connect',
        "write the address at which other hosts reach this one",
        [],
    )


def test_two_hosts_with_one_ingress_address_are_reported_at_the_later_host(tmp_path: Path) -> None:
    texts = {
        "app.yaml": service(host("b"), host("a", "10.0.0.2")),
        "db.yaml": service(host("c", "10.0.0.2")),
    }

    assert one_clash(tmp_path, texts) == (
        'MC319 db.yaml:4:16: hosts "a" and "c" both have the ingressAddr 10.0.0.2:80',
        "one address is one host; is this line a copy of the other?",
        ["app.yaml:7:16: the other host"],
    )


def test_hosts_may_share_an_ip_address_on_different_ports(tmp_path: Path) -> None:
    good(tmp_path, {"app.yaml": service(host("a"), host("b", port=81))})
