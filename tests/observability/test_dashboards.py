"""The dashboards are what Grafana provisions, and what a reader can tell apart."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.observability import dashboards

if TYPE_CHECKING:
    from pathlib import Path

PROVISIONING = dashboards.GRAFANA / "provisioning"
SCHEMA_VERSION = 39
"""Of Grafana 10 and 11; newer ones read it as well."""
COLUMNS = 24
UNITS = {"none", "reqps", "ops", "cps", "Bps", "bytes", "ms", "s", "percentunit"}

every = pytest.mark.parametrize("path", dashboards.FILES, ids=lambda path: path.stem)


def test_there_are_views_of_the_mesh_of_its_servers_and_from_service_to_service() -> None:
    assert [path.stem for path in dashboards.FILES] == ["mesh", "servers", "service-to-service"]


@every
def test_a_dashboard_can_be_provisioned(path: Path) -> None:
    board = dashboards.load(path)

    assert board["uid"] == f"meshc-{path.stem}"
    assert board["id"] is None  # Grafana gives one; a number of ours could be somebody else's
    assert board["schemaVersion"] == SCHEMA_VERSION
    assert board["title"]
    assert board["tags"] == ["meshc"]
    assert board["refresh"]


@every
def test_everything_asks_the_datasource_that_is_chosen(path: Path) -> None:
    board = dashboards.load(path)
    chosen = {"type": "prometheus", "uid": "${datasource}"}

    first, *others = dashboards.variables(board)
    panels = dashboards.panels(board)
    targets = [target for panel in panels for target in panel["targets"]]

    assert (first["name"], first["type"], first["query"]) == (
        "datasource",
        "datasource",
        "prometheus",
    )
    assert all(one["datasource"] == chosen for one in [*others, *panels, *targets])


@every
def test_every_variable_that_is_used_exists_and_the_other_way_round(path: Path) -> None:
    text = path.read_text()
    names = {one["name"] for one in dashboards.variables(dashboards.load(path))}

    used = set(re.findall(r"\$\{?(\w+)", text)) - {"__rate_interval", "__interval"}

    assert used == names


@every
def test_panels_lie_beside_each_other_and_not_on_each_other(path: Path) -> None:
    board = dashboards.load(path)

    covered = Counter(
        (x, y)
        for panel in board["panels"]
        for x in _span(panel, "x", "w")
        for y in _span(panel, "y", "h")
    )

    assert max(covered.values()) == 1
    assert {x for x, _ in covered} == set(range(COLUMNS))
    assert {y for _, y in covered} == set(range(max(y for _, y in covered) + 1))  # no gaps


def _span(panel: dict[str, Any], start: str, length: str) -> range:
    place = panel["gridPos"]
    return range(place[start], place[start] + place[length])


@every
def test_panels_are_told_apart_and_say_what_they_show(path: Path) -> None:
    board = dashboards.load(path)
    panels = dashboards.panels(board)

    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    assert len({panel["title"] for panel in panels}) == len(panels)
    for panel in panels:
        assert panel["description"].endswith(".")
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


@every
def test_every_panel_has_a_unit_that_grafana_knows(path: Path) -> None:
    for panel in dashboards.panels(dashboards.load(path)):
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS


@every
def test_every_line_has_a_legend_that_tells_it_from_the_others(path: Path) -> None:
    for panel in dashboards.panels(dashboards.load(path)):
        if panel["type"] != "timeseries":
            continue
        legends = [target["legendFormat"] for target in panel["targets"]]
        assert len(set(legends)) == len(legends)
        for target in panel["targets"]:
            grouped = re.match(r"[^(]*?\bby \(([^)]*)\)", target["expr"])
            if "histogram_quantile" in target["expr"]:
                grouped = re.search(r"by \(([^)]*)\)", target["expr"])
            labels = set(grouped[1].split(", ")) - {"le"} if grouped else set()
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) == labels


@every
def test_columns_of_tables_are_named_after_queries_and_labels_that_exist(path: Path) -> None:
    for panel in dashboards.panels(dashboards.load(path)):
        if panel["type"] != "table":
            continue
        [organize] = [one for one in panel["transformations"] if one["id"] == "organize"]
        several = {f"Value #{target['refId']}" for target in panel["targets"]}
        known = several if len(several) > 1 else {"Value"}
        for target in panel["targets"]:
            known |= set(re.findall(r"\w+", re.findall(r"by \(([^)]*)\)", target["expr"])[0]))
        assert set(organize["options"]["renameByName"]) <= known


def test_dashboards_lead_to_each_other() -> None:
    boards = [dashboards.load(path) for path in dashboards.FILES]

    links = {(board["uid"], link["url"]) for board in boards for link in board["links"]}

    uids = [board["uid"] for board in boards]
    assert links == {(one, f"/d/{other}") for one, other in itertools.permutations(uids, 2)}


def test_grafana_is_told_of_prometheus_and_zipkin() -> None:
    [place] = (PROVISIONING / "datasources").iterdir()

    found = yaml.safe_load(place.read_text())

    assert found["apiVersion"] == 1
    assert {one["type"]: one["url"] for one in found["datasources"]} == {
        "prometheus": "http://prometheus:9090",
        "zipkin": "http://zipkin:9411",
    }
    assert [one["name"] for one in found["datasources"] if one.get("isDefault")] == ["Prometheus"]


def test_a_rate_covers_enough_scrapes() -> None:
    """Grafana makes ``$__rate_interval`` four times the pace that the datasource names."""
    [place] = (PROVISIONING / "datasources").iterdir()
    prometheus = yaml.safe_load(place.read_text())["datasources"][0]
    deployed = dashboards.GRAFANA.parent / "prometheus" / "prometheus.yml"

    pace = yaml.safe_load(deployed.read_text())["global"]["scrape_interval"]

    assert prometheus["jsonData"]["timeInterval"] == pace
