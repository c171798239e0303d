"""The checker beside a real Envoy: random single changes to good clusters and listeners.

``MESHC_SCHEMA_SAMPLES`` and ``MESHC_SCHEMA_SEED`` make a longer campaign of it.
"""

from __future__ import annotations

import os
import random
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from meshc.proto import EnvoySchema, load_schema
from tests.proto import samples
from tests.proto.mutations import Mutator
from tests.proto.real_envoy import EnvoyValidator, Kind, envoy_binary
from tests.proto.samples import Sample

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.envoy

SAMPLES = int(os.environ.get("MESHC_SCHEMA_SAMPLES", "2000"))
SEED = int(os.environ.get("MESHC_SCHEMA_SEED", "1"))
IS_USUAL = (SAMPLES, SEED) == (2000, 1)  # other seeds may miss a rare difference
REFUSALS = max(500, SAMPLES // 4)  # refusals are confirmed one by one, 20 ms each
WORKERS = 2


@dataclass(frozen=True, slots=True)
class Difference:
    """Violations that Envoy does not confirm as such, and why they are right.

    ``message`` is looked for in the checker's words, or in Envoy's when it refused for a
    reason of its own.
    """

    reason: str
    message: re.Pattern[str]
    kinds: frozenset[Kind]
    is_rare: bool = False


BOTH = frozenset({Kind.ACCEPTED, Kind.SEMANTIC})
DIFFERENCES = (
    Difference(
        "Envoy's JSON reader takes enum names in any case; the documented form is upper case",
        re.compile(r"is not one of its values, did you mean"),
        BOTH,
    ),
    Difference(
        "Envoy's JSON reader takes true and false in quotes, ParseDict does not",
        re.compile(r'must be true or false, not "(true|false)"'),
        BOTH,
    ),
    Difference(
        "Envoy's JSON reader takes {} for a wrapped scalar or a duration, ParseDict does not",
        re.compile(r"must be (an integer|a number|true or|a string|a duration).*, not an object"),
        BOTH,
        is_rare=True,
    ),
    Difference(
        "Envoy's JSON reader leaves out null in lists and maps, ParseDict refuses it",
        re.compile(r"must be .*, not null"),
        BOTH,
    ),
    Difference(
        "Envoy also takes camel case; one spelling is enough, and is what its documentation has",
        re.compile(r"is not a field: write"),
        BOTH,
    ),
    Difference(
        "an Any without a type is read, and then no extension is found for it, or none is needed",
        re.compile(r"is required: it is the type of the message"),
        BOTH,
    ),
    Difference(
        "Envoy throws at a negative duration before it gets to the rule that forbids it",
        re.compile(r"Invalid duration: Expected positive duration"),
        frozenset({Kind.SEMANTIC}),
    ),
    Difference(
        "Envoy's JSON reader takes one value for a list of one, ParseDict does not",
        re.compile(r"must be a list, not"),
        BOTH,
        is_rare=True,
    ),
    Difference(
        "Envoy looks for the extension before it checks where its configuration comes from",
        re.compile(r"no factory found for a required type URL"),
        frozenset({Kind.SEMANTIC}),
        is_rare=True,
    ),
)


@pytest.fixture(scope="module")
def schema() -> EnvoySchema:
    return load_schema("1.40.0")


@pytest.fixture(scope="module")
def envoy(tmp_path_factory: pytest.TempPathFactory) -> EnvoyValidator:
    return EnvoyValidator(envoy_binary(), tmp_path_factory.mktemp("envoy"))


def _mutations(schema: EnvoySchema) -> Iterator[Sample]:
    rng = random.Random(SEED)
    mutator = Mutator(schema.pool, rng)
    for number in range(SAMPLES):
        if rng.random() < 0.4:
            yield mutator.mutate(samples.CLUSTER, samples.cluster() | {"name": f"c{number}"})
        else:
            place = samples.address(10_000 + number % 50_000)
            base = samples.listener() | {"name": f"l{number}", "address": place}
            yield mutator.mutate(samples.LISTENER, base)


def test_the_samples_that_are_mutated_are_good(schema: EnvoySchema, envoy: EnvoyValidator) -> None:
    cluster = samples.cluster() | {"name": "other"}
    good = [
        Sample(type_name=samples.CLUSTER, message=cluster, note=""),
        Sample(type_name=samples.LISTENER, message=samples.listener(), note=""),
    ]

    assert [schema.check(sample.type_name, sample.message) for sample in good] == [(), ()]
    assert envoy.ask(good).kind is Kind.ACCEPTED


def test_what_the_checker_accepts_has_no_schema_error_for_envoy(
    schema: EnvoySchema, envoy: EnvoyValidator
) -> None:
    """Each sample is asked about alone.

    Envoy stops at the first mistake and seldom says where it was.  In a batch, one sample with
    a mistake that is no matter of the schema would hide all that come after it.
    """
    accepted = [
        sample
        for sample in _mutations(schema)
        if not schema.check(sample.type_name, sample.message)
    ]

    with ThreadPoolExecutor(WORKERS) as pool:
        answers = list(pool.map(lambda sample: envoy.ask([sample]), accepted))
    errors = [
        f"{sample.note}: {answer.text}"
        for sample, answer in zip(accepted, answers, strict=True)
        if answer.kind is Kind.SCHEMA
    ]
    clean = [answer for answer in answers if answer.kind is Kind.ACCEPTED]

    assert errors == []
    # Otherwise most samples were stopped by another mistake, and the test says little.
    assert len(clean) > len(accepted) * 3 // 4
    assert len(accepted) > SAMPLES // 3


def test_what_the_checker_refuses_is_refused_by_envoy(
    schema: EnvoySchema, envoy: EnvoyValidator
) -> None:
    refused = [
        (sample, violations)
        for sample in _mutations(schema)
        if (violations := schema.check(sample.type_name, sample.message))
    ]
    chosen = random.Random(SEED).sample(refused, min(REFUSALS, len(refused)))
    unexplained: list[str] = []
    used: set[Difference] = set()

    with ThreadPoolExecutor(WORKERS) as pool:
        answers = list(pool.map(lambda pair: envoy.ask([pair[0]]), chosen))
    for (sample, violations), answer in zip(chosen, answers, strict=True):
        if answer.kind is Kind.SCHEMA:
            continue
        text = " ".join([*(violation.message for violation in violations), answer.text])
        for difference in DIFFERENCES:
            if answer.kind in difference.kinds and difference.message.search(text):
                used.add(difference)
                break
        else:
            unexplained.append(f"{sample.note}: {answer.kind.value}: {text}")

    assert len(refused) > SAMPLES // 3
    assert unexplained == []
    missed = [item.reason for item in DIFFERENCES if item not in used and not item.is_rare]
    assert not IS_USUAL or missed == []
