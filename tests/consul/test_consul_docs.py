"""What docs/consul.md says about access and TLS is what Consul takes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from meshc.cli.svc import command as svc
from meshc.consul.errors import ConsulDeniedError
from tests.consul.authority import Authority
from tests.consul.roles import FOLDER

if TYPE_CHECKING:
    from tests.consul.cluster import Cluster

_PAGE = Path(__file__).parent.parent.parent / "docs" / "consul.md"
_TEXT = _PAGE.read_text()


def commands(after: str) -> str:
    """The commands of the first example below a line of the page, as a shell takes them."""
    example = _TEXT[_TEXT.index(after) :].partition("```console\n")[2].partition("```")[0]
    lines = [line for line in example.splitlines() if line.startswith(("$ ", "> "))]
    return "\n".join(line[2:] for line in lines)


def test_every_option_about_consul_is_explained() -> None:
    options = {
        name
        for parameter in svc.commands["list"].params
        for name in parameter.opts
        if name.startswith("--consul-")
    }
    assert len(options) == 8
    assert {one for one in options if f"`{one} " not in _TEXT} == set()


def test_every_file_of_rules_is_linked_and_every_link_leads_to_one() -> None:
    linked = re.findall(r"\(\.\./deploy/consul/([a-z-]+\.hcl)\)", _TEXT)
    assert sorted(set(linked)) == sorted(one.name for one in FOLDER.glob("*.hcl"))


@pytest.mark.consul
@pytest.mark.parametrize(
    "after", ["The words in capitals are to be filled in", "Rules that name a SERVICE"]
)
def test_the_commands_that_make_a_role_work(
    consul_cluster: Cluster, tmp_path: Path, after: str
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "consul").symlink_to(consul_cluster.program)
    environment = consul_cluster.first.environment()
    ended = subprocess.run(
        ["sh", "-euxc", commands(after)],
        cwd=FOLDER,
        env={"PATH": f"{programs}:{os.environ['PATH']}"} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stderr
    if "consul acl token create" not in commands(after):
        assert ended.stdout.count('service "app"') == 1
        assert ended.stdout.count('service "front"') == 1
        return
    token = re.findall(r"SecretID:\s+(\S+)", ended.stdout)[0]
    with consul_cluster.first.client(token) as client:
        client.kv_get("meshc/v1/shop/nodes/web1")
        with pytest.raises(ConsulDeniedError):
            client.kv_get("meshc/v1/shop/nodes/web2")


@pytest.mark.consul
def test_the_settings_for_tls_are_taken(consul_binary: Path, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    made = authority.issue_server("server", "127.0.0.1")
    shutil.copy(authority.file, tmp_path / "consul-agent-ca.pem")
    shutil.copy(made.file, tmp_path / "dc1-server-consul-0.pem")
    shutil.copy(made.key, tmp_path / "dc1-server-consul-0-key.pem")
    text = _TEXT[_TEXT.index("## TLS") :].partition("```hcl\n")[2].partition("```")[0]
    settings = text.replace("/etc/consul.d", str(tmp_path)).replace("  # https", "  https")
    assert "  https { verify_incoming" in settings
    file = tmp_path / "settings.hcl"
    file.write_text(f'data_dir = "{tmp_path}/data"\nbind_addr = "127.0.0.1"\n{settings}')
    ended = subprocess.run(
        [consul_binary, "validate", file], capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
