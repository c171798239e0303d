"""The commands as a user meets them: texts, exit codes, and nothing changed by a failure."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.cli.program import GOOD, run

if TYPE_CHECKING:
    from pathlib import Path

WARNING = GOOD + "dependentServices:\n- name: db\n  egressPort: 9001\n"


def tree(folder: Path) -> dict[str, tuple[bytes, int, int]]:
    return {
        path.relative_to(folder).as_posix(): (
            path.read_bytes(),
            path.stat().st_ino,
            path.stat().st_mtime_ns,
        )
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_build_says_what_it_did(mesh: Path) -> None:
    result = run("build", "--envoy", "none", cwd=mesh)

    assert result.returncode == 0
    assert result.stdout.startswith(
        "built out: 1 service, 1 node; 8 files written, 0 unchanged, 0 removed; "
    )
    assert result.stderr == ""


def test_a_second_build_touches_nothing(mesh: Path) -> None:
    run("build", "--envoy", "none", cwd=mesh)
    before = tree(mesh / "out")

    result = run("build", "--envoy", "none", cwd=mesh)

    assert "0 files written, 8 unchanged, 0 removed" in result.stdout
    assert tree(mesh / "out") == before


def test_errors_leave_everything_as_it_was_and_exit_with_1(mesh: Path) -> None:
    run("build", "--envoy", "none", cwd=mesh)
    before = tree(mesh)
    bad = mesh / "specs" / "bad.yaml"
    bad.write_text("protocol: HTPT\n")

    result = run("build", "--envoy", "none", cwd=mesh)
    bad.unlink()

    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr == (
        'specs/bad.yaml:1:11: error[MC204]: "protocol" cannot be "HTPT"\n'
        "    1 | protocol: HTPT\n"
        "      |           ^^^^\n"
        '  hint: did you mean "HTTP"?\n'
        "1 error; nothing was written\n"
    )
    assert tree(mesh) == before


def test_files_of_removed_hosts_go(mesh: Path) -> None:
    other = GOOD.replace("app1", "db1").replace("10.0.0.1", "10.0.0.2")
    (mesh / "specs" / "db.yaml").write_text(other)
    run("build", "--envoy", "none", cwd=mesh)
    assert (mesh / "out" / "nodes" / "db1").is_dir()

    (mesh / "specs" / "db.yaml").unlink()
    result = run("build", "--envoy", "none", cwd=mesh)

    assert "7 removed" in result.stdout
    assert not (mesh / "out" / "nodes" / "db1").exists()
    assert not (mesh / "out" / "services" / "db").exists()


def test_a_check_tells_whether_the_output_is_current_and_writes_nothing(mesh: Path) -> None:
    missing = run("build", "--check", "--envoy", "none", cwd=mesh)
    assert (missing.returncode, (mesh / "out").exists()) == (1, False)
    run("build", "--envoy", "none", cwd=mesh)

    current = run("build", "--check", "--envoy", "none", cwd=mesh)
    (mesh / "specs" / "app.yaml").write_text(GOOD.replace("port: 80", "port: 81"))
    before = tree(mesh)
    stale = run("build", "--check", "--envoy", "none", cwd=mesh)

    assert (current.returncode, current.stdout) == (0, "out is what the specs give (8 files)\n")
    assert stale.returncode == 1
    assert "  differs  services/app/eds.json\n" in stale.stderr
    assert stale.stderr.endswith("out is not what the specs give; run: meshc build\n")
    assert tree(mesh) == before


def test_warnings_stop_a_strict_build_only(mesh: Path) -> None:
    (mesh / "specs" / "app.yaml").write_text(WARNING)
    (mesh / "specs" / "db.yaml").write_text("protocol: HTTP\n")

    strict = run("build", "--strict", "--envoy", "none", cwd=mesh)
    assert (strict.returncode, (mesh / "out").exists()) == (1, False)
    assert "1 warning; nothing was written" in strict.stderr

    assert run("build", "--envoy", "none", cwd=mesh).returncode == 0


def test_a_missing_envoy_is_a_warning_or_an_error_as_asked(mesh: Path) -> None:
    program = "import meshc.cli.report as r; r.find_envoy = lambda _: None\n"
    program += "import sys; from meshc.cli import run; sys.exit(run(sys.argv[1:]))"

    def without_envoy(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", program, *arguments],
            cwd=mesh,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    warned = without_envoy("build")
    assert (warned.returncode, "warning[MC702]" in warned.stderr) == (0, True)
    refused = without_envoy("build", "--require-envoy")
    assert (refused.returncode, "error: no Envoy was found" in refused.stderr) == (3, True)


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["biuld"], 2, 'There is no command "biuld". Did you mean "build"?'),
        (["build", "--spec", "x"], 2, "No such option"),
        (["build", "--specs", "nope"], 3, 'error: spec folder "nope" does not exist'),
        (["build", "--envoy", "/nope"], 3, 'error: there is no Envoy program at "/nope"'),
        (["materialize", "app1", "x"], 3, 'error: "out/manifest.json" is missing'),
        (["explain", "MC999"], 2, 'error: there is no code "MC999"'),
        (["explain", "app2"], 2, 'did you mean "app1"?'),
        (["bootstrap", "nope"], 2, 'error: there is no node "nope"'),
        (["completion", "tcsh"], 2, "is not one of"),
    ],
)
def test_wrong_use_says_what_is_wrong(
    mesh: Path, arguments: list[str], code: int, text: str
) -> None:
    result = run(*arguments, cwd=mesh)

    assert result.returncode == code
    assert text in result.stderr
    assert "Traceback" not in result.stderr


def test_a_mistake_of_ours_has_its_own_code_and_no_traceback(mesh: Path) -> None:
    program = "import meshc.cli.report as r\n"
    program += "def broken(*_args, **_kw): raise ZeroDivisionError('sums')\n"
    program += "r.build = broken\n"
    program += "import sys; from meshc.cli import run; sys.exit(run(['build', '--envoy', 'none']))"
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=mesh,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 4
    assert "a mistake of meshc itself: ZeroDivisionError: sums" in result.stderr
    assert "Traceback" not in result.stderr


def test_settings_rise_from_file_to_environment_to_flags(mesh: Path) -> None:
    (mesh / "meshc.toml").write_text('out = "from-file"\nenvoy = "none"\n')

    run("build", cwd=mesh)
    run("build", cwd=mesh, env={"MESHC_OUT": "from-env"})
    run("build", "--out", "from-flag", cwd=mesh, env={"MESHC_OUT": "from-env-again"})

    made = sorted(path.name for path in mesh.iterdir() if path.is_dir())
    assert made == ["from-env", "from-file", "from-flag", "specs"]


def test_settings_may_stand_in_the_project_file(mesh: Path) -> None:
    (mesh / "pyproject.toml").write_text('[tool.meshc]\nout = "dist"\nenvoy = "none"\n')

    assert run("build", cwd=mesh).stdout.startswith("built dist: ")


_EVIL = "#!/bin/sh\ntouch was-run\n"


@pytest.mark.parametrize(
    ("file", "text", "line"),
    [
        ("meshc.toml", 'out = "x"\nenvoy = "specs/.evil"\n', 2),
        ("pyproject.toml", '[tool.meshc]\n"envoy" = "./specs/.evil"\n', 2),
        ("pyproject.toml", 'tool = {meshc = {envoy = "./specs/.evil"}}\n', 1),
        ("ci/settings.toml", 'envoy = "specs/.evil"\n', 1),
    ],
)
def test_a_checkout_does_not_say_which_program_is_run(
    mesh: Path, file: str, text: str, line: int
) -> None:
    evil = mesh / "specs" / ".evil"
    evil.write_text(_EVIL)
    evil.chmod(0o755)
    (mesh / ".git").mkdir()
    (mesh / file).parent.mkdir(exist_ok=True)
    (mesh / file).write_text(text)
    config = ["--config", file] if "/" in file else []

    for command in ("check", "build"):
        result = run(*config, command, cwd=mesh)

        assert result.returncode == 3
        assert result.stderr.startswith(
            f"error[MC704]: {mesh / file if not config else file}:{line}:1: "
        )
        assert "--envoy or MESHC_ENVOY" in result.stderr
    assert not (mesh / "was-run").exists()


def test_settings_outside_of_the_checkout_may_name_a_program(mesh: Path) -> None:
    checkout = mesh / "checkout"
    checkout.mkdir()
    (checkout / ".git").mkdir()
    (mesh / "specs").rename(checkout / "specs")
    (mesh / "own.toml").write_text('envoy = "/nowhere/envoy"\n')

    result = run("--config", "../own.toml", "check", cwd=checkout)

    assert "/nowhere/envoy" in result.stderr
    assert "MC704" not in result.stderr


def test_an_unknown_setting_is_refused_with_the_nearest_known(mesh: Path) -> None:
    (mesh / "meshc.toml").write_text('spec = "x"\n')

    result = run("check", cwd=mesh)

    assert result.returncode == 3
    assert 'unknown setting "spec"' in result.stderr
    assert 'hint: did you mean "specs"?' in result.stderr


def test_findings_come_as_json_sarif_and_annotations(mesh: Path) -> None:
    (mesh / "specs" / "bad.yaml").write_text("protocol: X\n")

    def check(output: str) -> str:
        result = run("check", "--format", output, "--envoy", "none", cwd=mesh)
        assert result.returncode == 1
        return result.stdout

    assert json.loads(check("json"))["diagnostics"][0]["place"]["file"] == "specs/bad.yaml"
    assert json.loads(check("sarif"))["runs"][0]["results"][0]["ruleId"] == "MC204"
    assert check("github").startswith("::error title=MC204 value out of range,file=specs/bad.yaml,")


def test_a_build_can_be_read_by_programs(mesh: Path) -> None:
    data = json.loads(run("build", "--format", "json", "--envoy", "none", cwd=mesh).stdout)

    assert data["ok"] is True
    assert (data["services"], data["nodes"], data["unchanged"]) == (1, 1, 0)
    assert data["changed"][0] == "manifest.json"


def test_a_starter_mesh_builds_and_is_never_overwritten(tmp_path: Path) -> None:
    assert run("init", "mine", cwd=tmp_path).stdout.endswith("next: cd mine && meshc build\n")
    assert run("build", "--envoy", "none", "--strict", cwd=tmp_path / "mine").returncode == 0
    before = tree(tmp_path / "mine" / "specs")

    again = run("init", "mine", cwd=tmp_path)

    assert again.returncode == 3
    assert "nothing is overwritten" in again.stderr
    assert tree(tmp_path / "mine" / "specs") == before


def test_a_code_is_explained_with_its_example(mesh: Path) -> None:
    text = run("explain", "mc312", cwd=mesh).stdout

    assert text.startswith("error[MC312]: ingress equals substance\n")
    assert "substanceAddr: {host: 10.0.0.1, port: 80}" in text


def test_a_node_is_explained_resource_by_resource(mesh: Path) -> None:
    assert run("explain", "app1", cwd=mesh).stdout == (
        "listener inbound/app: accepts traffic for app at 10.0.0.1:80\n"
        "  from specs/app.yaml:3:3\n"
        "routes inbound/app: sends every request for app to the application\n"
        "  from specs/app.yaml:1:1\n"
        "cluster inbound/app: the application of app at 127.0.0.1:9000\n"
        "  from specs/app.yaml:3:3\n"
        "  connectTimeout = 1s: default of meshc\n"
        "  inbound.idle = 1s: default of meshc\n"
        "  inbound.maxConnections = none: default of meshc\n"
        "  inbound.maxPendingRequests = none: default of meshc\n"
        "  inbound.maxRequests = none: default of meshc\n"
    )
    data = json.loads(run("explain", "app1", "inbound/app", "--format", "json", cwd=mesh).stdout)
    assert [entry["kind"] for entry in data] == ["listener", "routes", "cluster"]


def test_the_bootstrap_is_the_one_of_the_bundle(mesh: Path) -> None:
    run("build", "--envoy", "none", cwd=mesh)

    printed = run("bootstrap", "app1", cwd=mesh).stdout

    assert printed == (mesh / "out" / "nodes" / "app1" / "bootstrap.json").read_text()
    assert json.loads(printed)["node"]["id"] == "app1"


def test_files_are_laid_out_as_the_envoy_watches_them(mesh: Path) -> None:
    run("build", "--envoy", "none", cwd=mesh)

    first = run("materialize", "app1", "host", cwd=mesh)
    before = tree(mesh / "host")
    second = run("materialize", "app1", "host", cwd=mesh)

    assert first.stdout.startswith("host: 4 written, 0 unchanged, 0 removed (generation ")
    assert second.stdout.startswith("host: 0 written, 4 unchanged, 0 removed (generation ")
    assert sorted(before) == [
        "bootstrap.json",
        "cds.json",
        "lds.json",
        "services/app/rds-inbound.json",
    ]
    assert tree(mesh / "host") == before


def test_an_altered_bundle_is_not_laid_out(mesh: Path) -> None:
    run("build", "--envoy", "none", cwd=mesh)
    victim = mesh / "out" / "nodes" / "app1" / "lds.json"
    victim.write_text(victim.read_text().replace("10.0.0.1", "10.0.0.9"))

    result = run("materialize", "app1", "host", cwd=mesh)

    assert result.returncode == 3
    assert "is not the file that the manifest names" in result.stderr
    assert not (mesh / "host" / "lds.json").exists()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_name_the_program(mesh: Path, shell: str) -> None:
    script = run("completion", shell, cwd=mesh).stdout

    assert "_MESHC_COMPLETE" in script
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=script, text=True, check=True, timeout=10)


def test_completion_knows_commands_and_options(mesh: Path) -> None:
    env = {"_MESHC_COMPLETE": "bash_complete", "COMP_WORDS": "meshc bui", "COMP_CWORD": "1"}
    code = "import sys; from meshc.cli import run; sys.argv = ['meshc']; sys.exit(run([]))"
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=mesh,
        env=os.environ | env,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "plain,build" in result.stdout


def test_envoy_schemas_are_listed(mesh: Path) -> None:
    assert run("envoy-schema", cwd=mesh).stdout == "1.40.0  used by build and check\n"
