"""A store's variants as peft's files, which peft loads and a study takes back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from commands import call
from peft import PeftConfig
from record_factory import DEMO, Variant, build_store, failed_record, make_record

import methods
from bench.configured import choose
from bench.errors import UsageError
from bench.sharing.export import export
from bench.store.files import Store
from bench.study import Request

if TYPE_CHECKING:
    from pathlib import Path

PEFTS = [name for name in methods.names() if getattr(methods.get(name), "peft_type", "")]


def variant(name: str, **values: Any) -> Variant:
    """One with all its hyperparameters, as a study's record has them."""
    return Variant(name, methods.get(name)(**values).hyperparameters(), 0.5)


def back(folder: Path) -> list[tuple[str, dict[str, Any]]]:
    """The variants that a study makes of a folder."""
    found = choose([str(folder)])
    return [(one.method, one.hyperparameters) for one in Request((), found.configured).variants()]


def in_any_order(found: list[tuple[str, dict[str, Any]]]) -> list[str]:
    return sorted(json.dumps([name, values], sort_keys=True) for name, values in found)


def test_what_is_written_gives_the_same_variants_and_peft_loads_it(tmp_path: Path) -> None:
    made = [variant(name, learning_rate=rate) for name in PEFTS for rate in (0.0125, 0.5)]
    made += [variant("lora", targets=["mlp.c_proj", "c_attn"]), variant("lora", targets=[r".*\.c_attn"])]
    made += [variant("dora", use_rslora=True, layers_to_transform=[0]), variant("miss", r=64)]
    build_store(tmp_path / "store", made, [0, 1], predictions=False)
    done = export(tmp_path / "store", tmp_path / "out")
    assert (done.variants, dict(done.left_out)) == (len(made), {})
    asked = [(one.method, dict(one.hyperparameters)) for one in made]
    assert in_any_order(back(tmp_path / "out")) == in_any_order(asked)
    for folder in (tmp_path / "out").iterdir():
        config = PeftConfig.from_pretrained(str(folder))
        assert config.peft_type.value == json.loads((folder / "adapter_config.json").read_text())["peft_type"]


def test_folders_are_called_as_the_variants_in_the_report(tmp_path: Path) -> None:
    build_store(tmp_path / "store", DEMO, [0], predictions=False)
    done = export(tmp_path / "store", tmp_path / "out")
    assert sorted(folder.name for folder in (tmp_path / "out").iterdir()) == [
        *("ia3", "lora_alpha=128", "lora_alpha=32", "lora_alpha=8", "prefix"),
    ]
    assert sorted(done.left_out) == ["frozen", "head"]


def test_what_was_left_to_the_layers_is_written_as_it_was_used_and_read_as_left(tmp_path: Path) -> None:
    left = variant("miss")
    folder = tmp_path / "store"
    for backbone, used in (("small", 16), ("large", 64)):
        changes = {"resolved": {"r": used}, "backbone.name": backbone, "backbone.revision": backbone}
        Store(folder).put(make_record(left, 0, changes), None)
    assert export(folder, tmp_path / "out").variants == 2
    written = {
        path.name: json.loads((path / "adapter_config.json").read_text())["r"] for path in (tmp_path / "out").iterdir()
    }
    assert sorted(written.values()) == [16, 64]
    assert {name.partition("_")[2] for name in written} <= {"", "small", "large"}
    assert back(tmp_path / "out") == [("miss", dict(left.hyperparameters))]


def test_a_schedule_is_of_a_run_that_had_one(tmp_path: Path) -> None:
    build_store(tmp_path / "store", [variant("adalora")], [0], {"training.steps": 500}, predictions=False)
    export(tmp_path / "store", tmp_path / "out")
    content = json.loads((tmp_path / "out/adalora/adapter_config.json").read_text())
    assert [content[name] for name in ("total_step", "tinit", "tfinal")] == [500, 20, 50]
    nothing = failed_record(variant("adalora")).model_copy()
    nothing = nothing.model_copy(update={"training": nothing.training.model_copy(update={"steps": None})})
    Store(tmp_path / "failed").put(nothing, None)
    with pytest.raises(UsageError, match="has no variant of peft's: adalora"):
        export(tmp_path / "failed", tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_where_there_is_nothing_to_write_or_no_place_it_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere: there is no such store"):
        export(tmp_path / "nowhere", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="empty holds no record to export"):
        export(tmp_path / "empty", tmp_path / "out")
    build_store(tmp_path / "store", DEMO[-1:], [0], predictions=False)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="out: it is there and isn't an empty folder; name another"):
        export(tmp_path / "store", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["notes.txt"]


def test_the_command_says_what_it_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    build_store(tmp_path / "store", DEMO, [0], predictions=False)
    assert call(monkeypatch, "export", str(tmp_path / "store"), "--peft", str(tmp_path / "out")) == 0
    assert capsys.readouterr().out.splitlines() == [
        "Left out: frozen, head: peft has no such method",
        f"5 configurations are in {tmp_path / 'out'}",
    ]
