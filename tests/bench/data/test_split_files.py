from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.data.frames import SPLITS
from bench.data.split_files import data_files
from bench.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

THREE = ("train.jsonl", "validation.jsonl", "test.jsonl")


def _make(folder: Path, *names: str, readme: str | None = None) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")
    if readme is not None:
        (folder / "README.md").write_text(f"---\n{readme}---\n# Texts\n", encoding="utf-8")
    return folder


def _found(folder: Path) -> dict[str, list[str]]:
    return {split: [str(f.relative_to(folder)) for f in files] for split, files in data_files(folder).items()}


def _refused(folder: Path, *parts: str) -> None:
    with pytest.raises(UsageError) as caught:
        data_files(folder)
    for part in parts:
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "names",
    [
        THREE,
        ("Train.JSONL", "Validation.csv", "TEST.parquet"),
        ("mine_train.csv", "mine_validation.csv", "mine_test.csv"),
        ("train/a.jsonl", "validation/a.jsonl", "test/a.jsonl"),
        ("training.json", "dev.json", "testing.json"),
        ("data/train-00000-of-00001.parquet", "data/valid-00000-of-00001.parquet", "data/test-00000-of-00001.parquet"),
        ("old/train.jsonl", "validation.jsonl", "test.jsonl"),
        ("train.jsonl.gz", "eval.tsv.zst", "TEST.csv.GZ"),
    ],
)
def test_a_file_belongs_to_the_split_that_is_a_word_of_its_name(tmp_path: Path, names: tuple[str, ...]) -> None:
    others = ("notes.txt", "train.txt", "contest.jsonl", ".hidden/train.jsonl", "._train.jsonl", "__MACOSX/test.jsonl")
    assert _found(_make(tmp_path, *names, *others)) == {s: [name] for s, name in zip(SPLITS, names, strict=True)}


@pytest.mark.parametrize(
    "copy",
    ["train (1).jsonl", "train_old.jsonl", "old/train.jsonl", "train.csv", "train/more.jsonl", "train-0-of-1.jsonl"],
)
def test_a_second_file_for_a_split_is_refused_and_both_are_named(tmp_path: Path, copy: str) -> None:
    _refused(_make(tmp_path, *THREE, copy), "several files for the train split", copy, "train.jsonl", "README.md")


def test_a_file_for_two_splits_is_refused(tmp_path: Path) -> None:
    _refused(_make(tmp_path, *THREE, "train-test.jsonl"), "train-test.jsonl", "names train and test")


def test_without_a_file_for_train_the_folder_is_refused_and_what_is_there_is_named(tmp_path: Path) -> None:
    _refused(_make(tmp_path, *THREE[1:], "more.jsonl"), "no file for the train split", "more.jsonl", "test.jsonl")
    _refused(_make(tmp_path / "two", "a.jsonl", "b.jsonl"), "no file for the train split (found: a.jsonl, b.jsonl)")


def test_other_splits_may_be_missing(tmp_path: Path) -> None:
    assert _found(_make(tmp_path, "train.jsonl", "more.jsonl")) == {"train": ["train.jsonl"]}
    assert _found(_make(tmp_path / "one", "some.csv.gz")) == {"train": ["some.csv.gz"]}


@settings(max_examples=30, deadline=None)
@given(total=st.integers(1, 12), start=st.sampled_from([0, 1]), lost=st.integers(0, 11), data=st.data())
def test_shards_are_one_source_in_their_order_and_only_whole(
    tmp_path_factory: pytest.TempPathFactory, total: int, start: int, lost: int, data: st.DataObject
) -> None:
    numbers = data.draw(st.permutations(range(start, start + total)))
    folder = _make(tmp_path_factory.mktemp("shards"), *THREE[1:], *(f"train-{n}-of-{total}.jsonl" for n in numbers))
    names = [f"train-{n}-of-{total}.jsonl" for n in sorted(numbers)]
    assert _found(folder)["train"] == names
    if total > 1:
        (folder / names[lost % total]).unlink()
        _refused(folder, f"{total} shards are needed, each once")


def test_two_uploads_of_the_same_shards_are_refused(tmp_path: Path) -> None:
    one = _make(tmp_path, *THREE[1:], "train-00000-of-00001-0a1b.parquet")
    assert _found(one)["train"] == ["train-00000-of-00001-0a1b.parquet"]
    _refused(_make(tmp_path, "train-00000-of-00001-ffff.parquet"), "1 shards are needed, each once; there are 0, 0")


LISTED = "configs:\n- config_name: default\n  data_files:\n" + "".join(
    f"  - split: {split}\n    path: data/{split}-*\n" for split in SPLITS
)


def test_the_readme_of_a_data_set_on_the_hub_says_which_files(tmp_path: Path) -> None:
    names = [f"data/{split}-00000-of-00001.parquet" for split in SPLITS]
    folder = _make(tmp_path, *names, "data/old/train.parquet", "train.jsonl", readme=LISTED)
    assert _found(folder) == {split: [name] for split, name in zip(SPLITS, names, strict=True)}


@pytest.mark.parametrize(
    "data_files",
    [
        "    train: b.csv\n    dev: [c.csv]\n    test: a.csv\n",
        "    train: '**b.csv'\n    validation: '**/c*'\n    test: a.csv\n",
        "  - {split: train, path: [b.csv]}\n  - {split: validation, path: c.csv}\n  - {split: test, path: 'a*'}\n",
    ],
)
def test_the_readme_may_say_it_in_other_ways(tmp_path: Path, data_files: str) -> None:
    folder = _make(tmp_path, "a.csv", "b.csv", "c.csv", readme=f"configs:\n- data_files:\n{data_files}")
    assert _found(folder) == {"train": ["b.csv"], "validation": ["c.csv"], "test": ["a.csv"]}


def test_of_several_configurations_the_default_one_counts(tmp_path: Path) -> None:
    other = "- config_name: other\n  data_files: x.csv\n"
    names = [f"data/{split}-0.csv" for split in SPLITS]
    folder = _make(tmp_path, *names, readme=LISTED + other)
    assert _found(folder)["train"] == ["data/train-0.csv"]
    _make(folder, readme=LISTED.replace("default", "some") + other)
    _refused(folder, "README.md: several configurations (some, other)")


def test_a_readme_without_data_files_leaves_it_to_the_names(tmp_path: Path) -> None:
    folder = _make(tmp_path, *THREE, readme="license: mit\nconfigs:\n- config_name: default\n")
    assert _found(folder)["train"] == ["train.jsonl"]
    (folder / "README.md").write_text("# no YAML\n")
    assert _found(folder)["train"] == ["train.jsonl"]


@pytest.mark.parametrize(
    ("readme", "message"),
    [
        ("configs: [\n", "its YAML, between the lines of ---, can't be read"),
        (LISTED.replace("data/test-*", "data/none-*"), "names data/none-*, and there is no such file"),
        (LISTED.replace("data/test-*", "''"), "data_files names , and there is no such file"),
        (LISTED.replace("data/test-*", "../test-*"), "names ../test-*, which isn't in this folder"),
        (LISTED.replace("data/test-*", "/etc/passwd"), "which isn't in this folder"),
        (LISTED.replace("data/test-*", "https://x.org/a.csv"), "which isn't in this folder"),
        (
            LISTED.replace("split: train", "split: other"),
            "names no train split, but other, validation, test",
        ),
        (LISTED.replace("split: test", "split: dev"), "names validation and dev, which are one split"),
    ],
)
def test_a_readme_that_cannot_be_followed_is_refused(tmp_path: Path, readme: str, message: str) -> None:
    _refused(_make(tmp_path, *(f"data/{split}-0.csv" for split in SPLITS), readme=readme), str(tmp_path), message)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_a_folder_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    folder = _make(tmp_path / "secret", *THREE)
    folder.chmod(0)
    _refused(folder, "secret", "can't be read: Permission denied")
