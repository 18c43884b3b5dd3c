"""What makes two runs the same run, and how a command unfolds into runs."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

import methods
from bench.spec import (
    CORE,
    BackboneRef,
    DataRef,
    LearningRates,
    RangeSpec,
    RunSpec,
    Spec,
    Study,
    TrainingSpec,
    TrialSpec,
    Variant,
    expand,
    renamed,
    variants,
)

LORA = Variant(
    method="lora",
    hyperparameters={"r": 8, "alpha": 32, "dropout": 0.0, "targets": None, "learning_rate": 1e-3},
)
RUN = RunSpec(
    variant=LORA,
    seed=0,
    preset="demo",
    backbone=BackboneRef(name="gpt2", source="hub", revision="a" * 40, folder="/cache/gpt2"),
    data=DataRef(name="texts", source="hub", revision="b" * 40, fingerprint="c" * 64),
    training=TrainingSpec(epochs=3, batch_size=16, max_length=256, dtype="fp32", device="cpu"),
)

IDENTITY: dict[str, Any] = {
    "variant.method": "ia3",
    "variant.hyperparameters": {**LORA.hyperparameters, "alpha": 33},
    "seed": 1,
    "backbone.revision": "d" * 40,
    "data.fingerprint": "e" * 64,
    "training.epochs": 4,
    "training.max_steps": 100,
    "training.batch_size": 8,
    "training.max_length": 128,
    "training.weight_decay": 0.0,
    "training.warmup_share": 0.2,
    "training.dtype": "bf16",
    "training.device": "cuda",
    "training.select_epoch": True,
    "training.select_metric": "macro_f1",
    "search": TrialSpec(trial=0, space={"learning_rate": RangeSpec(low=1e-5, high=1e-2, log=True)}),
    "protocol": RUN.protocol + 1,
    "schema_version": RUN.schema_version + 1,
}
"""Whatever changes the result: another value is another run."""

NOT_IDENTITY: dict[str, Any] = {
    "preset": "custom",
    "backbone.name": "my-gpt2",
    "backbone.source": "local",
    "backbone.folder": "/elsewhere",
    "data.name": "my-texts",
    "data.source": "local",
    "data.revision": None,
    "training.feature_cache": False,
}
"""How things are called, where they lie and how fast they are: the same run."""


def _changed(spec: Spec, path: str, value: object) -> Spec:
    name, _, rest = path.partition(".")
    return spec.model_copy(update={name: _changed(getattr(spec, name), rest, value) if rest else value})


def _uid(spec: Spec) -> str:
    assert isinstance(spec, RunSpec)
    return spec.uid


def _fields(spec: Spec, prefix: str = "") -> set[str]:
    found: set[str] = set()
    for name in type(spec).model_fields:
        value = getattr(spec, name)
        found |= _fields(value, f"{prefix}{name}.") if isinstance(value, Spec) else {prefix + name}
    return found


@pytest.mark.parametrize("path", IDENTITY)
def test_what_changes_the_result_changes_the_uid(path: str) -> None:
    assert _uid(_changed(RUN, path, IDENTITY[path])) != RUN.uid


@pytest.mark.parametrize("path", NOT_IDENTITY)
def test_what_does_not_change_the_result_leaves_the_uid(path: str) -> None:
    assert _uid(_changed(RUN, path, NOT_IDENTITY[path])) == RUN.uid


def test_every_field_is_declared_to_be_one_or_the_other() -> None:
    assert _fields(RUN) == set(IDENTITY) | set(NOT_IDENTITY)


def test_uids_stay_what_they_are() -> None:
    """Records are found again by their uids: when these change, PROTOCOL or SCHEMA was raised, or all is lost."""
    assert (RUN.protocol, RUN.schema_version) == (4, 1)
    assert RUN.uid == "e9a54bd779688b33"
    prefix = Variant(method="prefix", hyperparameters={"tokens": 20, "learning_rate": 5e-3})
    assert _uid(_changed(RUN, "variant", prefix)) == "edb5803672d24d51"


def test_the_order_of_hyperparameters_makes_no_other_run() -> None:
    backwards = dict(reversed(LORA.hyperparameters.items()))
    assert _uid(_changed(RUN, "variant.hyperparameters", backwards)) == RUN.uid


def test_a_spec_takes_no_name_that_it_does_not_know() -> None:
    with pytest.raises(ValidationError, match="epoch"):
        TrainingSpec(epoch=3, epochs=3, batch_size=16, max_length=256, dtype="fp32", device="cpu")  # type: ignore[call-arg]


def test_sweeps_multiply_and_take_the_place_of_a_methods_own() -> None:
    found = variants(("head", "lora"), {"lora": {"r": [4, 8]}}, LearningRates())
    assert [variant.method for variant in found] == ["head"] + ["lora"] * 6
    pairs = {(v.hyperparameters["r"], v.hyperparameters["alpha"]) for v in found[1:]}
    assert pairs == {(r, alpha) for r in (4, 8) for alpha in (8, 32, 128)}
    assert [v.hyperparameters["alpha"] for v in variants(("lora",), {"lora": {"alpha": [1]}}, LearningRates())] == [1]


def test_a_study_has_whole_comparisons_first_and_no_two_runs_alike() -> None:
    found = variants(("head", "lora"), {}, LearningRates())
    shared = {name: getattr(RUN, name) for name in ("preset", "backbone", "data", "training")}
    runs = Study(variants=tuple(found), seeds=(5, 3), **shared).runs()
    assert [run.seed for run in runs] == [5] * 4 + [3] * 4
    assert [run.variant for run in runs] == found * 2
    assert len({run.uid for run in runs}) == len({run.label for run in runs}) == 8
    assert runs[1].label == "lora alpha=8 seed=5"


def test_a_label_tells_what_differs_from_the_defaults() -> None:
    [variant] = variants(("lora",), {"lora": {"alpha": [32], "r": [4], "targets": [("c_proj",)]}}, LearningRates())
    assert variant.label == "lora r=4 alpha=32 targets=['c_proj']"
    assert variants(("head",), {}, LearningRates())[0].label == "head"


def test_a_presets_learning_rate_stands_in_for_the_methods_own_and_gives_way_to_what_was_set() -> None:
    rates = LearningRates({"lora": 0.25})
    found = variants(("head", "lora"), {}, rates)
    by_method = {variant.method: variant.hyperparameters["learning_rate"] for variant in found}
    assert by_method == {"head": methods.get("head")().learning_rate, "lora": 0.25}
    assert [v.hyperparameters["alpha"] for v in found if v.method == "lora"] == [8, 32, 128]
    asked = variants(("lora",), {"lora": {"learning_rate": [0.5], "alpha": [8]}}, rates)
    assert [variant.hyperparameters["learning_rate"] for variant in asked] == [0.5]


def test_a_group_stands_for_its_members() -> None:
    assert expand(("core",)) == CORE
    assert expand(("card",)) == CORE
    assert "core" in (renamed(("card",)) or "")
    assert renamed(("core", "lora")) is None
    assert expand(("ia3", "core")) == ("ia3", "frozen", "head", "lora", "prefix")
    prompts = expand(("prompts",))
    assert {"prefix", "prompt_tuning", "p_tuning"} <= set(prompts)
    assert set(expand(("all",))) == set(methods.names())
    assert expand(("all",))[: len(CORE)] == CORE
    assert expand(("no_such",)) == ("no_such",)


def test_runs_that_differ_in_what_is_free_there_can_be_trained_in_one_pass() -> None:
    def key(path: str, value: object) -> str | None:
        return RunSpec.model_validate(_changed(RUN, path, value)).one_pass

    def with_(**given: object) -> str | None:
        return key("variant.hyperparameters", {**LORA.hyperparameters, **given})

    alike = {with_(alpha=8), with_(learning_rate=0.1), RUN.one_pass}
    assert len(alike) == 1
    assert None not in alike
    assert not alike & {with_(r=4), key("seed", 9), key("training.epochs", 9), key("data.fingerprint", "other")}
    assert with_(dropout=0.1) is None
    assert key("variant", Variant(method="prefix", hyperparameters={"tokens": 20, "learning_rate": 5e-3})) is None
    space = {"learning_rate": RangeSpec(low=1e-5, high=1e-2, log=True)}
    trials = [RUN.model_copy(update={"search": TrialSpec(trial=number, space=space)}) for number in (0, 1)]
    assert len({trial.one_pass for trial in trials} - alike) == 1


def test_trials_and_their_spaces_are_told_apart_and_what_is_no_trial_is_what_it_was_before_there_were_any() -> None:
    space = {"learning_rate": RangeSpec(low=1e-5, high=1e-2, log=True)}
    wider = {"learning_rate": RangeSpec(low=1e-5, high=1e-1, log=True)}
    asked = [TrialSpec(trial=0, space=space), TrialSpec(trial=1, space=space), TrialSpec(trial=0, space=wider)]
    assert len({RUN.model_copy(update={"search": search}).uid for search in asked}) == 3
    assert "search" not in RUN.identity()
    assert "select_epoch" not in RUN.identity()["training"]
