"""Who may say that an application was not reached, and who believes it."""

from __future__ import annotations

from tests.slices import OUTSIDE, compiled

_NAME = "x-meshc-failure"


def _mappers(listener: str, node: str) -> list[tuple[list[str], str]]:
    manager = compiled().network_filter(listener, node)
    return [
        (mapper["filter"]["response_flag_filter"]["flags"], one["header"]["value"])
        for mapper in manager.get("local_reply_config", {}).get("mappers", [])
        for one in mapper["headers_to_add"]
        if one["header"]["key"] == _NAME
    ]


def test_the_called_side_marks_what_it_answers_in_place_of_its_application() -> None:
    assert _mappers("inbound/api", "api1") == [(["UF"], "unreached"), (["UC", "UR"], "reset")]


def test_the_callers_side_marks_nothing() -> None:
    assert _mappers("outbound/api@web", "web1") == []


def test_no_application_can_say_it_and_no_caller_hears_it() -> None:
    result = compiled()

    for file in ("rds-inbound.json", "rds-outbound.json"):
        (resource,) = result.files[f"services/api/{file}"]["resources"]
        (virtual_host,) = resource["virtual_hosts"]
        assert virtual_host["response_headers_to_remove"] == [_NAME]


def test_hosts_outside_the_mesh_are_not_believed() -> None:
    policy = compiled(called=OUTSIDE).route()["retry_policy"]

    assert policy["retry_on"] == "connect-failure,refused-stream,reset-before-request"
    assert "retriable_headers" not in policy
