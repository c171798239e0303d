"""The store in a Consul as it runs in earnest: TLS, and tokens that may do this or that."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import meshc
from meshc.cli import run
from tests.store.wishes import APP, FRONT, numbered

if TYPE_CHECKING:
    from tests.consul.cluster import Cluster

pytestmark = pytest.mark.consul

RULES = Path(meshc.__file__).parent.parent / "deploy" / "consul"
WRITER = (RULES / "store-writer.hcl").read_text()
READER = (RULES / "store-reader.hcl").read_text()
PARTS = {
    "one document less": READER + 'key "meshc/v1/MESH/specs/app" { policy = "deny" }',
    "documents only": 'key_prefix "meshc/v1/MESH/specs/" { policy = "read" }',
    "the revision only": 'key "meshc/v1/MESH/specs-revision" { policy = "read" }',
}


class Place:
    """A mesh in the cluster, and tokens for it."""

    def __init__(self, cluster: Cluster, folder: Path, environment: pytest.MonkeyPatch) -> None:
        self.mesh = f"m-{secrets.token_hex(6)}"
        self.server = cluster.first
        self.url = self.server.address.replace("https", "consul+https") + f"/{self.mesh}"
        self.folder, self.environment = folder, environment
        environment.chdir(folder)
        environment.setenv("CONSUL_CACERT", str(self.server.ca_file))
        environment.setenv("MESHC_SPECS", self.url)
        environment.setenv("MESHC_ENVOY", "none")
        for name, text in {"app": APP, "front": FRONT, "mesh": f"name: {self.mesh}\n"}.items():
            (folder / f"{name}.yaml").write_text(text)

    def run_with(self, rules: str, *arguments: str) -> int:
        given = rules.replace("MESH", self.mesh)
        token = self.server.make_token(given, f"t-{secrets.token_hex(6)}")
        self.environment.setenv("CONSUL_HTTP_TOKEN", token)
        return run(arguments)

    def store(self) -> None:
        assert self.run_with(WRITER, "svc", "apply", "-f", ".") == 0


@pytest.fixture
def place(consul_cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(consul_cluster, tmp_path, monkeypatch)


def test_one_rule_is_enough_for_everything(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    (place.folder / "many").mkdir()
    for number in range(100):
        (place.folder / "many" / f"s{number}.yaml").write_text(numbered(number))
    place.store()
    capsys.readouterr()

    codes = [
        place.run_with(WRITER, "svc", *arguments)
        for arguments in (["apply", "-f", "many"], ["list"], ["delete", "s1"], ["export", "e"])
    ]

    assert codes == [0] * 4
    assert capsys.readouterr().err == ""
    assert len(list((place.folder / "e").iterdir())) == 102


def test_a_token_that_may_read_builds_and_changes_nothing(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.store()
    (place.folder / "app.yaml").write_text(APP.replace("myapp2", "myapp3"))

    assert place.run_with(READER, "build") == 0
    capsys.readouterr()
    code = place.run_with(READER, "svc", "apply", "-f", "app.yaml")

    said = capsys.readouterr()
    assert code == 3
    assert "Permission denied" in said.err
    assert said.out == ""
    assert place.run_with(READER, "svc", "show", "app") == 0
    assert capsys.readouterr().out == APP


@pytest.mark.parametrize("rules", PARTS.values(), ids=PARTS)
def test_a_token_that_sees_a_part_gets_no_mesh_of_it(
    place: Place, capsys: pytest.CaptureFixture[str], rules: str
) -> None:
    place.store()
    place.run_with(READER, "build")
    capsys.readouterr()

    codes = [place.run_with(rules, *command) for command in (["build"], ["svc", "list"])]

    assert codes == [3, 3]
    said = capsys.readouterr()
    assert said.out == ""
    assert f'the store of "{place.mesh}" is not complete' in said.err
    assert (place.folder / "out/nodes/myapp1/lds.json").exists()


def test_a_certificate_of_another_authority_is_an_error(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("CONSUL_CACERT")

    assert place.run_with(READER, "svc", "list") == 3
    assert "certificate" in capsys.readouterr().err
