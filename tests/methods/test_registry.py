"""Which methods there are, and what becomes of those that other packages add."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import pytest

import methods
from methods.registry import _registered

if TYPE_CHECKING:
    from collections.abc import Iterator

THIRD_PARTY = """
from typing import ClassVar
import methods

@methods.register
class Own(methods.Method):
    name: ClassVar[str] = "own"
    trains: ClassVar[str] = "the head"
    paper: ClassVar[str] = "none"
    learning_rate_source: ClassVar[str] = "none"
    learning_rate: methods.LearningRate = 1e-3

    def adapt(self, model, plan):
        return model
"""


@pytest.fixture(autouse=True)
def registered_stays_as_it_was() -> Iterator[None]:
    before = {name: methods.get(name) for name in methods.names()}
    yield
    _registered.clear()
    _registered.update(before)


def add_package(folder: Path, package: str, code: str, points: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a package with entry points where Python finds it, as an installer would."""
    (folder / f"{package}.py").write_text(code, encoding="utf-8")
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[bench.methods]\n{points}\n", encoding="utf-8")
    if str(folder) not in sys.path:
        monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, package, raising=False)


def test_names_are_sorted_and_each_gets_the_method_of_that_name() -> None:
    names = methods.names()
    assert names == sorted(names)
    assert {"frozen", "head", "ia3", "lora", "prefix"} <= set(names)
    assert [methods.get(name).name for name in names] == names


def test_every_method_says_what_it_is() -> None:
    for name in methods.names():
        method = methods.get(name)
        assert all("\n" not in said and said for said in (method.trains, method.paper, method.learning_rate_source))
        assert set(method.sweep) <= set(method.model_fields)


def test_a_description_is_json_with_the_defaults_and_the_sweep() -> None:
    described = json.loads(json.dumps(methods.get("lora").describe()))
    assert described["defaults"] == methods.get("lora")().hyperparameters()
    assert described["sweep"] == {"alpha": [8, 32, 128]}
    assert {"name", "trains", "paper", "learning_rate_source"} < described.keys()


def test_the_methods_are_listed_without_torch() -> None:
    code = (
        "import methods, sys; [methods.get(n)().hyperparameters() for n in methods.names()];"
        "print([m for m in ('torch', 'transformers', 'peft') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


ROOT = Path(__file__).parents[2]


def test_an_unknown_name_gets_the_nearest_and_all() -> None:
    with pytest.raises(methods.MethodError, match=r"no method 'lorra'; did you mean 'lora'\?.*frozen, .*head, .*ia3"):
        methods.get("lorra")


def test_a_method_of_another_package_takes_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_package(tmp_path, "own_package", THIRD_PARTY, "own = own_package:Own", monkeypatch)
    assert "own" in methods.names()
    assert methods.get("own")(learning_rate="0.5").hyperparameters() == {"learning_rate": 0.5}


def test_a_broken_package_is_listed_with_its_error_and_harms_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_package(
        tmp_path, "sick_package", "raise OSError('a library\\nis missing')", "sick = sick_package:X", monkeypatch
    )
    assert {"sick", "lora"} <= set(methods.names())
    assert methods.get("lora").name == "lora"
    with pytest.raises(
        methods.MethodError, match="'sick' of sick_package can't be loaded: OSError: a library is missing"
    ):
        methods.get("sick")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("Own = 3", "'own' of odd_package calls itself None"),
        (THIRD_PARTY.replace('"own"', '"other"'), "calls itself 'other'"),
        (THIRD_PARTY.replace('    paper: ClassVar[str] = "none"\n', ""), "lacks the class attribute 'paper'"),
    ],
)
def test_an_entry_point_to_something_else_is_refused(
    code: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_package(tmp_path, "odd_package", code, "own = odd_package:Own", monkeypatch)
    with pytest.raises(methods.MethodError, match=said):
        methods.get("own")


def test_two_packages_with_one_name_are_both_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("left_package", "right_package"):
        add_package(tmp_path, package, THIRD_PARTY, f"own = {package}:Own", monkeypatch)
    with pytest.raises(methods.MethodError, match="left_package and right_package"):
        methods.get("own")


def test_a_package_cannot_take_the_name_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_package(tmp_path, "greedy_package", THIRD_PARTY, "lora = greedy_package:Own", monkeypatch)
    assert methods.get("lora").__module__ == "methods.lora"


def test_register_refuses_a_name_that_is_taken() -> None:
    class Lora(methods.get("head")):  # type: ignore[misc]
        name: ClassVar[str] = "lora"

    with pytest.raises(methods.MethodError, match=r"'lora' exists already, in methods\.lora"):
        methods.register(Lora)


def test_register_refuses_what_is_no_method() -> None:
    with pytest.raises(methods.MethodError, match=r"isn't a subclass of methods\.Method"):
        methods.register(int)  # type: ignore[type-var]
