"""Links in what a checkout brings lead no command out of the folder that it was given."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import User


def _others(user: User) -> None:
    user.write("elsewhere/services/billing/main.py", "mine")
    user.write("elsewhere/db/eds.json", "mine")
    user.write("elsewhere/eds.json", "mine")


@pytest.mark.parametrize("more", [[], ["--check"]])
@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("out", "elsewhere"),
        ("out/services", "../elsewhere"),
        ("out/nodes", "../elsewhere"),
        ("out/services/db", "../../elsewhere"),
    ],
)
def test_a_build_refuses_a_link_by_its_name(
    user: User, link: str, target: str, more: list[str]
) -> None:
    user.run("build")
    _others(user)
    shutil.rmtree(user.folder / link)
    (user.folder / link).symlink_to(target)
    before = user.tree()

    answer = user.run("build", *more)

    assert answer.code == 3
    assert f'"{link}" is a link' in answer.err
    # Something was staged in the folder itself, and removed.
    assert user.tree() | {"out": ()} == before | {"out": ()}


def test_a_build_replaces_a_link_where_it_stages_and_follows_none(user: User) -> None:
    user.run("build")
    _others(user)
    (user.folder / "out/.next").symlink_to("../elsewhere")
    specs = user.folder / "specs/db.yaml"
    specs.write_text(specs.read_text().replace("5432}", "5433}"))

    answer = user.run("build")

    assert answer.code == 0
    assert sorted(path.name for path in (user.folder / "elsewhere").iterdir()) == [
        "db",
        "eds.json",
        "services",
    ]


@pytest.mark.parametrize(
    ("link", "target"), [("place", "elsewhere"), ("place/nodes", "../elsewhere")]
)
def test_a_publication_refuses_a_link_by_its_name(user: User, link: str, target: str) -> None:
    user.run("build")
    _others(user)
    if "/" in link:
        (user.folder / "place").mkdir()
    (user.folder / link).symlink_to(target)
    before = user.tree("elsewhere")

    answer = user.run("publish", "dir", "place")

    assert answer.code == 3
    assert f'"{link}" is a link' in answer.err
    assert user.tree("elsewhere") == before


@pytest.mark.parametrize("link", ["mine/specs", "mine/specs/web.yaml"])
def test_a_starter_mesh_is_not_written_through_a_link(user: User, link: str) -> None:
    _others(user)
    place = user.folder / link
    place.parent.mkdir(parents=True)
    place.symlink_to(user.folder / "elsewhere" / "new")

    answer = user.run("init", "mine")

    assert answer.code == 3
    assert link in answer.err
    assert not (user.folder / "elsewhere" / "new").exists()
