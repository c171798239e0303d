"""What goes wrong between `meshc svc` and a real Consul is said, and leaves nothing half done."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from meshc.store.keys import StoreKeys
from meshc.store.snapshot import read_snapshot
from tests.store.between import Between
from tests.store.wishes import APP, FRONT, numbered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.consul.server import ConsulServer
    from tests.store.conftest import User

pytestmark = pytest.mark.consul

TOKEN = "5e2c0a1d-70ce-4e11-8f54-0e5ec2e70ce1"
LIMIT_S = 60


@pytest.fixture
def between(consul_dev: ConsulServer) -> Iterator[Between]:
    with Between(consul_dev) as proxy:
        yield proxy


def started(user: User, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "meshc", *arguments],
        cwd=user.folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def names(user: User) -> list[str]:
    return [one["name"] for one in user.ask("svc", "list")["services"]]


# Errors are errors.


BAD_ANSWERS = [
    (500, b"No cluster leader", "No cluster leader"),
    (503, b"overloaded", "overloaded"),
    (429, b"Your IP is issuing too many concurrent connections", "429"),
    (403, b"Permission denied: token with AccessorID lacks permission", "Permission denied"),
    (403, b"ACL not found", "ACL not found"),
    (200, b"<html>a proxy's page</html>", ""),
    (200, b"[{]", ""),
]
NO_KEYS = (404, b"", "")
"""Right as an answer to a reader of an empty store, and none to a writer."""


@pytest.mark.parametrize(
    ("status", "body", "words", "answers_writes"),
    [
        *((*answer, False) for answer in BAD_ANSWERS),
        *((*answer, True) for answer in [*BAD_ANSWERS, NO_KEYS]),
    ],
)
def test_an_answer_that_is_an_error_is_an_error_and_no_answer_about_changes(  # noqa: PLR0917
    user: User, between: Between, status: int, body: bytes, words: str, answers_writes: object
) -> None:
    user.write("app.yaml", APP)
    between.answer, between.answers_writes = (status, body), bool(answers_writes)
    before = user.stored()

    answer = user.run("svc", "apply", "app", "-f", "app.yaml", "--specs", between.url(user.mesh))

    assert answer.code == 3
    assert answer.err.startswith("error: ")
    assert words in answer.err
    assert "Changed" not in answer.out + answer.err
    assert user.stored() == before


@pytest.mark.parametrize("command", [["svc", "list"], ["svc", "show", "app"], ["build"], ["check"]])
def test_what_cannot_be_read_is_an_error_and_no_empty_mesh(
    user: User, between: Between, command: list[str]
) -> None:
    between.answer = (500, b"No cluster leader")

    answer = user.run(*command, "--specs", between.url(user.mesh))

    assert (answer.code, answer.out) == (3, "")
    assert "No cluster leader" in answer.err
    assert not (user.folder / "out").exists()


def test_a_consul_that_is_not_there_is_an_error(user: User) -> None:
    user.write("app.yaml", APP)

    answer = user.run("svc", "apply", "app", "-f", "app.yaml", "--specs", "consul://127.0.0.1:1/x")

    assert (answer.code, answer.out) == (3, "")
    assert "connection refused" in answer.err


def test_an_empty_store_builds_nothing_and_leaves_what_is_built(user: User) -> None:
    user.write("app.yaml", APP)
    user.run("svc", "apply", "app", "-f", "app.yaml")
    assert user.run("build").code == 0
    user.run("svc", "delete", "app")

    answer = user.run("build")

    assert answer.code == 1
    assert "error[MC316]" in answer.err
    assert (user.folder / "out/nodes/myapp1/lds.json").exists()


# The token.


@pytest.mark.parametrize("verbosity", [[], ["-v"], ["-vv"]], ids=["usual", "verbose", "traceback"])
@pytest.mark.parametrize("source", ["variable", "file"])
def test_the_token_is_used_and_never_shown(
    user: User,
    between: Between,
    monkeypatch: pytest.MonkeyPatch,
    source: str,
    verbosity: list[str],
) -> None:
    if source == "file":
        file = user.write("token", TOKEN + "\n")
        file.chmod(0o600)
        monkeypatch.setenv("CONSUL_HTTP_TOKEN_FILE", str(file))
    else:
        monkeypatch.setenv("CONSUL_HTTP_TOKEN", TOKEN)
    user.write("app.yaml", APP)
    url = between.url(user.mesh)
    said = []
    for answer in (None, (403, b"Permission denied"), (500, b"no"), (200, b"garbage")):
        between.answer = answer
        for command in (["svc", "apply", "-f", "app.yaml"], ["svc", "list"], ["check"]):
            result = user.run(*command, "--specs", url, *verbosity)
            said.append(result.out + result.err)

    assert set(between.tokens) == {TOKEN}
    assert TOKEN not in "".join(said)
    assert all(TOKEN.encode() not in value for value, _ in user.stored().values())


# Killed between two requests.


@pytest.mark.parametrize(
    ("write", "is_done"),
    [(1, False), (2, True), (4, False), (4, True), (6, False), (9, False)],
    ids=["at once", "staging", "before it counts", "when it counts", "moving in", "tidying"],
)
def test_an_import_that_is_killed_leaves_old_or_new(
    user: User, between: Between, write: int, *, is_done: bool
) -> None:
    user.write("old.yaml", numbered(300))
    user.run("svc", "apply", "-f", "old.yaml")
    user.write("specs/mesh.yaml", f"name: {user.mesh}\n")
    for number in range(150):
        user.write(f"specs/s{number}.yaml", numbered(number))
    killed = threading.Event()
    process = started(user, "svc", "import", "specs", "--prune", "--specs", between.url(user.mesh))

    def kill(number: int) -> None:
        if number == write:
            killed.set()
            process.kill()
            raise ConnectionResetError

    if is_done:
        between.after = kill
    else:
        between.before = kill
    try:
        process.communicate(timeout=LIMIT_S)
    finally:
        process.kill()
        process.wait(LIMIT_S)
    between.before = between.after = lambda _number: None

    assert killed.is_set()
    assert process.returncode == -signal.SIGKILL
    new = sorted(f"s{number}" for number in range(150))
    counts = write > 4 or (write == 4 and is_done)
    assert sorted(names(user)) == (new if counts else ["old"])
    assert user.run("svc", "import", "specs", "--prune").code == 0
    assert sorted(names(user)) == new
    user.write("more.yaml", numbered(400))
    assert user.run("svc", "apply", "-f", "more.yaml").code == 0
    assert [key for key in user.stored() if "staged" in key] == []


def test_a_lost_answer_is_said_and_the_same_command_again_is_safe(
    user: User, between: Between
) -> None:
    user.write("app.yaml", APP)

    def lose(_number: int) -> None:
        raise ConnectionResetError

    between.after = lose
    lost = user.run("svc", "apply", "-f", "app.yaml", "--specs", between.url(user.mesh))
    again = user.run("svc", "apply", "-f", "app.yaml")

    assert lost.code == 3
    assert "whether the change was stored is not known" in lost.err
    assert again.out == "OK (Changed=false)\n"
    assert user.run("svc", "show", "app").out == APP


# Several at once.


def test_changes_at_once_are_all_there(user: User) -> None:
    count = 4
    for number in range(count):
        user.write(f"s{number}.yaml", numbered(number))
    processes = [started(user, "svc", "apply", "-f", f"s{number}.yaml") for number in range(count)]
    try:
        said = [process.communicate(timeout=LIMIT_S) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait(LIMIT_S)

    assert [out for out, _ in said] == ["OK (Changed=true)\n"] * count
    assert [process.returncode for process in processes] == [0] * count
    assert names(user) == [f"s{number}" for number in range(count)]
    assert user.ask("svc", "list")["revision"] == 1 + count


def test_a_change_beside_another_is_judged_again_on_top_of_it(user: User, between: Between) -> None:
    user.write("one.yaml", numbered(1))
    user.write("other.yaml", numbered(1).replace("host1", "host2"))
    first: list[subprocess.CompletedProcess[str]] = []

    def overtake(number: int) -> None:
        if number == 1:
            process = started(user, "svc", "apply", "-f", "one.yaml")
            out, err = process.communicate(timeout=LIMIT_S)
            first.append(subprocess.CompletedProcess([], process.returncode, out, err))

    between.before = overtake
    second = user.run("svc", "apply", "-f", "other.yaml", "--specs", between.url(user.mesh))

    assert (first[0].returncode, first[0].stdout) == (0, "OK (Changed=true)\n")
    assert (second.code, second.out) == (1, "")
    assert "other.yaml:4:16: error[MC319]" in second.err
    assert names(user) == ["one"]


def test_two_changes_of_one_service_at_once_are_not_both_a_success(
    user: User, between: Between
) -> None:
    user.write("app.yaml", APP)
    user.write("mine/app.yaml", APP.replace("myapp1", "mine1"))

    def overtake(number: int) -> None:
        if number == 1:
            process = started(user, "svc", "apply", "-f", "app.yaml")
            process.communicate(timeout=LIMIT_S)

    between.before = overtake
    answer = user.run("svc", "apply", "-f", "mine/app.yaml", "--specs", between.url(user.mesh))

    assert (answer.code, answer.out) == (3, "")
    assert answer.err == (
        'error: "app" was changed by somebody else at the same time; nothing was written\n'
        "  hint: look at it with meshc svc show app, and apply again\n"
    )
    assert user.run("svc", "show", "app").out == APP


def test_a_reader_beside_an_import_sees_old_or_new(user: User, between: Between) -> None:
    user.write("old.yaml", numbered(300))
    user.run("svc", "apply", "-f", "old.yaml")
    user.write("specs/mesh.yaml", f"name: {user.mesh}\n")
    for number in range(150):
        user.write(f"specs/s{number}.yaml", numbered(number))
    seen: list[int] = []

    def look(_number: int) -> None:
        found = read_snapshot(user.client, StoreKeys(user.mesh))
        seen.append(len(found.documents.keys() - {"mesh"}))

    between.after = look
    answer = user.run("svc", "import", "specs", "--prune", "--specs", between.url(user.mesh))

    assert answer.code == 0
    assert len(seen) > 6
    assert seen == sorted(seen)
    assert set(seen) == {1, 150}


def test_a_consumer_applied_first_is_reported_and_completed_later(user: User) -> None:
    user.write("front.yaml", FRONT)
    user.write("app.yaml", APP)

    first = user.run("svc", "apply", "front", "-f", "front.yaml")
    early = user.run("build")
    second = user.run("svc", "apply", "app", "-f", "app.yaml")

    assert (first.code, first.out) == (0, "OK (Changed=true)\n")
    assert first.err == (
        'front.yaml:7:10: warning[MC330]: dependency "app" is not in the store yet\n'
        "    7 | - {name: app, egressPort: 9001}\n"
        "      |          ^^^\n"
        "  hint: apply it as well: meshc svc apply app -f FILE; the mesh can be built then\n"
    )
    assert early.code == 1
    assert (second.code, second.out, second.err) == (0, "OK (Changed=true)\n", "")
    assert user.run("build").code == 0
