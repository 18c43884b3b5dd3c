"""Hyperparameters: defaults, values from the command line, and one clear line for a bad one."""

from __future__ import annotations

from typing import Any

import pytest

import methods

lora = methods.get("lora")


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("lora", {"alhpa": 8}, r"^lora has no hyperparameter 'alhpa'; did you mean 'alpha'\?; it has alpha, dropout,"),
        ("lora", {"zzz": 8}, r"^lora has no hyperparameter 'zzz'; it has alpha, dropout, learning_rate, r, targets$"),
        ("lora", {"alpha": "x"}, r"^lora\.alpha='x' isn't allowed: it must be a whole number at least 1"),
        ("lora", {"r": 0}, r"^lora\.r=0 isn't allowed: it must be a whole number at least 1"),
        ("lora", {"r": 8.5}, r"^lora\.r=8\.5 isn't allowed"),
        ("lora", {"r": True}, r"^lora\.r=True isn't allowed"),
        ("lora", {"dropout": 1}, r"^lora\.dropout=1 isn't allowed: it must be a number at least 0 and below 1$"),
        (
            "lora",
            {"learning_rate": 0},
            r"^lora\.learning_rate=0 isn't allowed: it must be a number above 0 and at most 1$",
        ),
        ("lora", {"learning_rate": float("nan")}, r"^lora\.learning_rate=nan isn't allowed"),
        ("lora", {"targets": ()}, r"^lora\.targets=\(\) isn't allowed: it must be a list of names or none$"),
        ("lora", {"r": 0, "alpha": -1}, r"^lora\.r=0 isn't allowed.*; lora\.alpha=-1 isn't allowed"),
        ("ia3", {"targets": 3}, r"^ia3\.targets=3 isn't allowed"),
        ("prefix", {"tokens": "many"}, r"^prefix\.tokens='many' isn't allowed"),
        (
            "frozen",
            {"learning_rate": 1e-3},
            r"^frozen\.learning_rate=0\.001 isn't allowed: it must be a number, 0 only$",
        ),
        ("head", {"alpha": 8}, r"^head has no hyperparameter 'alpha'; it has learning_rate$"),
    ],
)
def test_a_bad_hyperparameter_gets_one_line(name: str, values: dict[str, Any], said: str) -> None:
    with pytest.raises(methods.MethodError, match=said) as error:
        methods.get(name)(**values)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("alpha", "8", 8),
        ("learning_rate", "1e-3", 1e-3),
        ("targets", "c_attn,c_proj", ("c_attn", "c_proj")),
        ("targets", "c_attn + mlp.c_proj", ("c_attn", "mlp.c_proj")),
        ("targets", "none", None),
    ],
)
def test_a_text_is_read_as_the_field_asks(field: str, text: str, value: Any) -> None:
    assert lora.parse_value(field, text) == value


def test_commas_part_the_values_of_a_sweep_and_pluses_the_items_of_a_list() -> None:
    assert lora.parse_values("alpha", "8,32,128") == (8, 32, 128)
    assert lora.parse_values("targets", "c_attn,c_attn+c_proj") == (("c_attn",), ("c_attn", "c_proj"))


@pytest.mark.parametrize(("field", "text"), [("alpha", "8,,32"), ("alpha", ""), ("alhpa", "8"), ("targets", "")])
def test_a_text_that_means_nothing_names_the_field(field: str, text: str) -> None:
    with pytest.raises(methods.MethodError, match=field):
        lora.parse_values(field, text)


def test_hyperparameters_are_json_and_make_the_same_method_again() -> None:
    method = lora(alpha="128", targets="c_attn")
    values = method.hyperparameters()
    assert values == {
        "r": 8,
        "alpha": 128,
        "dropout": 0.0,
        "targets": ["c_attn"],
        "learning_rate": lora().learning_rate,
    }
    assert lora(**values) == method


def test_a_method_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        lora().learning_rate = 0.5  # type: ignore[misc]
