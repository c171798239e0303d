"""The whole sample in containers, where there is a Docker engine: the journey of its story."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from meshc.demo.sample import without_host
from tests.delivery.live import until
from tests.docker.program import FILE, HOSTS_PATIENCE_S, ROOT, compose_or_skip, has_engine

pytestmark = pytest.mark.docker

_NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@pytest.fixture(scope="session")
def docker_compose_command() -> str:
    if not has_engine():
        pytest.skip("no Docker engine answers; docker-compose.yml is checked, and not run")
    return " ".join(compose_or_skip())


@pytest.fixture(scope="session")
def docker_compose_file(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The file as it is; only its specs are a copy, which the journey changes."""
    folder = tmp_path_factory.mktemp("compose")
    shutil.copytree(ROOT / "deploy" / "compose" / "specs", folder / "specs")
    override = {"services": {"build": {"volumes": [f"{folder / 'specs'}:/specs:ro"]}}}
    (folder / "override.json").write_text(json.dumps(override))
    return [str(FILE), str(folder / "override.json")]


@pytest.fixture(scope="session")
def docker_compose_project_name() -> str:
    return "meshc-test"


@pytest.fixture(scope="session")
def docker_setup() -> list[str]:
    return ["up --build --detach --wait"]


def get(port: int, path: str = "/") -> str:
    with _NO_PROXY.open(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        text: str = answer.read().decode()
        return text


def ask(port: int, path: str) -> Any:
    return json.loads(get(port, path))


def answered_by(calls: int) -> Counter[str]:
    return Counter(get(8080).split()[1] for _ in range(calls))


@pytest.mark.usefixtures("docker_services")
def test_the_journey_in_containers(
    docker_compose_command: str, docker_compose_file: list[str]
) -> None:
    def apply() -> str:
        files = [part for file in docker_compose_file for part in ("--file", file)]
        said = ""
        for step in ("build", "publish", "register"):
            said += subprocess.run(
                [
                    *docker_compose_command.split(),
                    *("--project-name", "meshc-test", *files),
                    *("run", "--rm", "--no-deps", step),
                ],
                check=True,
                capture_output=True,
                text=True,
            ).stdout
        return said

    # Calls are answered in turn.
    assert answered_by(10) == {"myapp1": 5, "myapp2": 5}

    # Prometheus finds every Envoy and every agent.
    def found() -> Counter[str]:
        targets = ask(9090, "/api/v1/targets?state=active")["data"]["activeTargets"]
        return Counter(one["labels"]["job"] for one in targets if one["health"] == "up")

    until(lambda: found() == {"envoy": 3, "meshc-agent": 3}, "six targets", HOSTS_PATIENCE_S)

    # Zipkin has one trace with both hops, Grafana the dashboards.
    def traced() -> set[tuple[str, str]]:
        links = ask(9411, "/api/v2/dependencies?endTs=4102444800000&lookback=4102444800000")
        return {(one["parent"], one["child"]) for one in links}

    until(lambda: traced() == {("front", "app")}, "a trace", HOSTS_PATIENCE_S)
    boards = {one["uid"] for one in ask(3000, "/api/search?tag=meshc")}
    assert boards == {"meshc-mesh", "meshc-servers", "meshc-service-to-service"}

    # A host is taken out; once more changes nothing.
    app = Path(docker_compose_file[1]).parent / "specs" / "app.yaml"
    app.write_text(without_host(app.read_text(), "myapp2"))
    assert apply().count("OK (Changed=true)") == 2
    until(lambda: answered_by(4) == {"myapp1": 4}, "answers from one host", HOSTS_PATIENCE_S)
    assert apply().count("OK (Changed=false)") == 2

    # Without Consul traffic goes on.
    subprocess.run(
        [*docker_compose_command.split(), "--project-name", "meshc-test", "stop", "consul"],
        check=True,
        capture_output=True,
    )
    assert answered_by(10) == {"myapp1": 10}
