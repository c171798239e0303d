"""The sample for Ansible: its parts fit each other and the rest of the project."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

import meshc
from meshc.delivery.agent.settings import load_settings
from meshc.pipeline import BuildOptions, build

SAMPLE = Path(meshc.__file__).parent.parent / "deploy" / "ansible"
PLAYBOOKS = ("install.yaml", "deliver.yaml")


def read(name: str) -> Any:
    return yaml.safe_load((SAMPLE / name).read_text())


def tasks() -> list[dict[str, Any]]:
    return [
        task
        for name in PLAYBOOKS
        for play in read(name)
        for task in (*play["tasks"], *play.get("handlers", ()))
    ]


def need(program: str) -> str:
    """Skip without Ansible; it is not worth its 90 MB to everybody who runs the tests."""
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"no {program}; install it with: pip install ansible-core ansible-lint")
    return found


def ansible(tmp_path: Path, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, *arguments],
        cwd=SAMPLE,
        env={**os.environ, "ANSIBLE_HOME": str(tmp_path), "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.mark.parametrize("name", ["site.yaml", *PLAYBOOKS])
def test_ansible_finds_nothing_wrong_with_the_playbooks(tmp_path: Path, name: str) -> None:
    done = ansible(tmp_path, need("ansible-playbook"), "--syntax-check", name)

    assert (done.returncode, done.stderr) == (0, "")


def test_the_linter_finds_nothing_to_better(tmp_path: Path) -> None:
    done = ansible(tmp_path, need("ansible-lint"), "--offline", "--nocolor", "site.yaml")

    assert done.returncode == 0, done.stdout + done.stderr


def test_every_host_is_a_node_of_the_specs_at_its_address(tmp_path: Path) -> None:
    result = build(SAMPLE / "specs", BuildOptions(out=tmp_path))
    hosts = read("inventory.yaml")["mesh"]["hosts"]

    assert result.diagnostics == ()
    assert sorted(path.name for path in (tmp_path / "nodes").iterdir()) == sorted(hosts)
    for name, facts in hosts.items():
        listeners = (tmp_path / "nodes" / name / "lds.json").read_text()
        assert f'"{facts["ansible_host"]}"' in listeners


def test_every_file_that_is_copied_from_the_units_exists() -> None:
    copied = [
        task["ansible.builtin.copy"]["src"] for task in tasks() if "ansible.builtin.copy" in task
    ]
    units = [src.removeprefix("{{ meshc_units }}/") for src in copied if "meshc_units" in src]
    names = [
        unit.replace("{{ item }}", item)
        for unit in units
        for item in (("sysusers", "tmpfiles", "sysctl") if "item" in unit else ("",))
    ]

    assert len(names) == 6
    for name in names:
        assert (SAMPLE.parent / "systemd" / name).is_file(), name


def test_the_agents_settings_are_known_ones(tmp_path: Path) -> None:
    text = (SAMPLE / "templates" / "agent.toml.j2").read_text()
    values = {
        "ansible_managed": "by Ansible",
        "inventory_hostname": "front1",
        "meshc_source": read("group_vars/all.yaml")["meshc_source"],
    }
    for name, value in values.items():
        text = text.replace(f"{{{{ {name} }}}}", value)
    file = tmp_path / "agent.toml"
    file.write_text(text)

    settings = load_settings({}, file=file, environment={})

    assert (settings.node, settings.source, str(settings.target)) == (
        "front1",
        "/srv/mesh",
        "/var/lib/meshc/envoy",
    )


def test_every_setting_is_used_and_every_used_one_is_set() -> None:
    places = (*PLAYBOOKS, "templates/agent.toml.j2")
    texts = "".join((SAMPLE / name).read_text() for name in places)
    own = set(re.findall(r"^\s+(?:register: )?(meshc_\w+)(?::|$)", texts, re.MULTILINE))

    used = set(re.findall(r"\bmeshc_\w+", texts)) - own

    assert used == set(read("group_vars/all.yaml"))


def test_an_envoy_that_runs_is_never_restarted() -> None:
    for task in tasks():
        restarted = str(task.get("ansible.builtin.command", "")) + str(
            task.get("ansible.builtin.systemd_service", {}).get("state", "")
        )
        assert "restart meshc-envoy" not in restarted
        assert "restarted" not in restarted
