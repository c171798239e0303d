"""Whole cases: a folder with specs, options in case.toml, and what must come out of it."""

from __future__ import annotations

import json
import random
import shutil
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from meshc.pipeline import BuildOptions, BuildResult, build

CASES = Path(__file__).parent / "cases"

_NAMED_LISTS = ("hosts", "dependentServices")
"""Lists whose order means nothing."""


@dataclass(frozen=True, slots=True)
class Case:
    """One folder below tests/cases."""

    folder: Path
    options: dict[str, Any]

    @property
    def specs(self) -> Path:
        return self.folder / "specs"

    @property
    def name(self) -> str:
        return self.folder.relative_to(CASES).as_posix()

    @property
    def is_about_mistakes(self) -> bool:
        return "findings" in self.options


def all_cases(*, about_mistakes: bool) -> list[Case]:
    cases = [
        Case(path.parent, tomllib.loads(path.read_text()))
        for path in sorted(CASES.rglob("case.toml"))
    ]
    return [case for case in cases if case.is_about_mistakes == about_mistakes]


def built(specs: Path, out: Path, *, cache: Path | None = None, **more: Any) -> BuildResult:
    """Build and insist on success without any finding."""
    result = build(specs, BuildOptions(out=out, cache=cache, **more))
    assert result.diagnostics == ()
    return result


def shuffle_specs(specs: Path, target: Path, seed: int) -> None:
    """Copy documents in another order, their keys, hosts and dependencies in another order."""
    chance = random.Random(seed)
    paths = [path for path in sorted(specs.rglob("*")) if path.is_file()]
    chance.shuffle(paths)
    for path in paths:
        copy = target / path.relative_to(specs)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".json":
            copy.write_text(json.dumps(_shuffled_json(json.loads(path.read_text()), chance)))
        elif path.suffix in (".yaml", ".yml"):
            node = yaml.compose(path.read_text(), Loader=yaml.SafeLoader)
            _shuffle_yaml(node, chance)
            copy.write_text(yaml.serialize(node, Dumper=yaml.SafeDumper))
        else:
            shutil.copy(path, copy)


def _shuffled_json(value: Any, chance: random.Random, key: str = "") -> Any:
    if isinstance(value, dict):
        items = [(name, _shuffled_json(item, chance, name)) for name, item in value.items()]
        chance.shuffle(items)
        return dict(items)
    if isinstance(value, list):
        items = [_shuffled_json(item, chance) for item in value]
        if key in _NAMED_LISTS:
            chance.shuffle(items)
        return items
    return value


def _shuffle_yaml(node: yaml.Node | None, chance: random.Random, key: str = "") -> None:
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            _shuffle_yaml(value, chance, name.value)
        chance.shuffle(node.value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _shuffle_yaml(item, chance)
        if key in _NAMED_LISTS:
            chance.shuffle(node.value)
