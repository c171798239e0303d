"""A target in which somebody has put links, pipes and mounts, or puts them while files come."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from meshc.delivery.agent.swap import drop_folder, put_file, remove_file, sole_writer
from meshc.delivery.errors import DeliveryError

if TYPE_CHECKING:
    from pathlib import Path

EDS = "services/app/eds.json"
_WITH_MOUNTS = """
import json, subprocess, sys
from pathlib import Path
from meshc.delivery.agent.swap import put_file
from meshc.delivery.errors import DeliveryError
target = Path(sys.argv[1])
subprocess.run(["mount", *sys.argv[3:]], check=True)
try:
    put_file(target, sys.argv[2], b"new")
except DeliveryError as error:
    print(json.dumps([error.message, error.hint, (target / sys.argv[2]).exists()]))
"""


@pytest.fixture
def target(tmp_path: Path) -> Path:
    target = tmp_path / "target"
    (target / "services/app").mkdir(parents=True)
    (target / EDS).write_bytes(b"old")
    return target


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "eds.json").write_bytes(b"not yours")
    return outside


@pytest.fixture
def unshare() -> str:
    program = shutil.which("unshare")
    for options in ("--mount", "--map-root-user --user --mount"):
        command = [str(program), *options.split(), "true"]
        if program and not subprocess.run(command, check=False, capture_output=True).returncode:
            return f"{program} {options}"
    pytest.skip("no mount namespace is to be had here")


@pytest.mark.parametrize("folder", ["services", "services/app"])
def test_a_folder_that_is_a_link_is_not_written_through(
    target: Path, outside: Path, folder: str
) -> None:
    shutil.rmtree(target / folder)
    (target / folder).symlink_to(outside if folder.endswith("app") else outside.parent)

    with pytest.raises(DeliveryError, match="cannot write") as caught:
        put_file(target, EDS, b"new")

    assert "no link" in str(caught.value.hint)
    assert [path.name for path in outside.iterdir()] == ["eds.json"]
    assert (outside / "eds.json").read_bytes() == b"not yours"


def test_a_file_behind_a_link_is_not_removed(target: Path, outside: Path) -> None:
    shutil.rmtree(target / "services/app")
    (target / "services/app").symlink_to(outside)

    with pytest.raises(DeliveryError, match="cannot write"):
        remove_file(target, EDS)

    assert (outside / "eds.json").read_bytes() == b"not yours"


def test_an_empty_folder_behind_a_link_is_not_removed(target: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere/app").mkdir(parents=True)
    shutil.rmtree(target / "services")
    (target / "services").symlink_to(tmp_path / "elsewhere")

    drop_folder(target, EDS)

    assert (tmp_path / "elsewhere/app").is_dir()


def test_the_folder_of_a_service_goes_with_its_last_file(target: Path) -> None:
    drop_folder(target, EDS)
    still_there = (target / "services/app").is_dir()
    remove_file(target, EDS)

    drop_folder(target, EDS)

    assert still_there
    assert list((target / "services").iterdir()) == []


def test_new_bytes_are_not_prepared_behind_a_link(target: Path, outside: Path) -> None:
    (outside / "next").write_bytes(b"not yours either")
    (target / ".meshc").symlink_to(outside)

    with sole_writer(target), pytest.raises(DeliveryError, match="cannot write"):
        put_file(target, EDS, b"new")

    assert (outside / "next").read_bytes() == b"not yours either"
    assert (target / EDS).read_bytes() == b"old"


def test_a_prepared_file_that_is_a_link_is_not_written_through(target: Path, outside: Path) -> None:
    (target / ".meshc").mkdir()
    (target / ".meshc/next").symlink_to(outside / "eds.json")

    put_file(target, EDS, b"new")

    assert (outside / "eds.json").read_bytes() == b"not yours"
    assert stat.S_ISREG((target / EDS).lstat().st_mode)


def test_a_pipe_in_the_place_of_a_file_is_refused_at_once(target: Path) -> None:
    os.mkfifo(target / "lds.json")

    with pytest.raises(DeliveryError, match="not a plain file"):
        put_file(target, "lds.json", b"new")

    assert stat.S_ISFIFO((target / "lds.json").stat().st_mode)


def test_another_name_of_the_old_file_keeps_the_old_bytes(target: Path, outside: Path) -> None:
    os.link(target / EDS, outside / "same")

    put_file(target, EDS, b"new")

    assert (outside / "same").read_bytes() == b"old"
    assert (target / EDS).read_bytes() == b"new"


def test_a_file_in_the_place_of_a_folder_is_said(target: Path) -> None:
    shutil.rmtree(target / "services")
    (target / "services").write_bytes(b"a file")

    with pytest.raises(DeliveryError, match="cannot write") as caught:
        put_file(target, EDS, b"new")

    assert "no folder" in str(caught.value.hint)


def test_removing_what_is_not_there_is_no_error(target: Path) -> None:
    remove_file(target, "services/app/rds-inbound.json")
    remove_file(target, "services/other/eds.json")

    assert sorted(path.name for path in (target / "services").iterdir()) == ["app"]


@pytest.mark.parametrize(
    ("mount", "path", "reason"),
    [
        (["--bind", "{outside}/eds.json", "{target}/lds.json"], "lds.json", "busy"),
        (["-t", "tmpfs", "none", "{target}/services/app"], EDS, "cross-device"),
    ],
    ids=["a mounted file", "a mounted folder"],
)
def test_a_mount_in_the_target_is_refused_and_never_written_in_place(
    target: Path, outside: Path, unshare: str, *, mount: list[str], path: str, reason: str
) -> None:
    (target / "lds.json").write_bytes(b"old")
    places = [part.format(target=target, outside=outside) for part in mount]

    done = subprocess.run(
        [*unshare.split(), sys.executable, "-c", _WITH_MOUNTS, str(target), path, *places],
        capture_output=True,
        check=True,
    )

    message, hint, is_there = json.loads(done.stdout)
    assert reason in message.lower()
    assert "one filesystem" in hint
    assert is_there == (path == "lds.json")
    assert (outside / "eds.json").read_bytes() == b"not yours"
    assert not (target / ".meshc/next").exists()
