from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.data import SPLITS, Corpus, DataOptions, load_hub, load_local
from bench.data.frames import frame
from bench.errors import UsageError

ROOT = Path(__file__).parents[3]
SAMPLE = ROOT.parent / "shared" / "data" / "authormix-sample"


def _write(path: Path, rows: list[tuple[str, str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    objects = [{"text": text, "style": style, "category": "c"} for text, style in rows]
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(objects), path)
    elif path.suffix == ".csv":
        path.write_text("text,style,category\n" + "".join(f"{t},{s},c\n" for t, s in rows), encoding="utf-8")
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in objects), encoding="utf-8")


def _texts(mark: str, count: int = 10) -> list[tuple[str, str]]:
    return [(f"{mark} {style} {i}", style) for i in range(count) for style in ("ann", "bob")]


def _folder(path: Path, kind: str = "jsonl", pattern: str = "{}") -> Path:
    for split in ("train", "validation", "test"):
        _write(path / f"{pattern.format(split)}.{kind}", _texts(split))
    return path


def _refused(path: Path, *parts: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_local(path)
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_a_folder_in_every_format_is_the_same_corpus(tmp_path: Path, kind: str) -> None:
    corpus = load_local(_folder(tmp_path / "mine", kind))
    assert (corpus.name, corpus.source, corpus.revision) == ("mine", "local", None)
    assert corpus.styles == ("ann", "bob")
    assert corpus.fingerprint == load_local(_folder(tmp_path / "yours", "jsonl")).fingerprint


def test_reading_leaves_the_folder_alone_and_sees_every_change(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    before = load_local(folder)
    assert {path.name for path in folder.rglob("*")} == {"train.jsonl", "validation.jsonl", "test.jsonl"}
    content = (folder / "test.jsonl").read_text(encoding="utf-8")
    (folder / "test.jsonl").write_text(content.replace("test ann 0", "tested ann 0"), encoding="utf-8")
    after = load_local(folder)
    assert after.frames["test"]["text"][0] == "tested ann 0"
    assert after.fingerprint != before.fingerprint


def test_the_working_directory_is_a_folder_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(_folder(tmp_path / "mine"))
    assert load_local(Path()).name == "mine"


def test_a_snapshot_with_shards_behind_links_is_read_in_order(tmp_path: Path) -> None:
    _write(tmp_path / "blobs" / "0.parquet", _texts("first"))
    _write(tmp_path / "blobs" / "1.parquet", _texts("second"))
    data = tmp_path / "snapshot" / "data"
    data.mkdir(parents=True)
    one = [("validation-00000-of-00001", 0), ("test-00000-of-00001", 1)]
    for shard, blob in [("train-00000-of-00002", 0), ("train-00001-of-00002", 1), *one]:
        (data / f"{shard}.parquet").symlink_to(tmp_path / "blobs" / f"{blob}.parquet")
    corpus = load_hub(tmp_path / "snapshot", "someone/texts", "abc123")
    assert (corpus.name, corpus.source, corpus.revision) == ("someone/texts", "hub", "abc123")
    assert [text.split()[0] for text in corpus.frames["train"]["text"]] == ["first"] * 20 + ["second"] * 20
    assert corpus.duplicates == 40


def test_a_snapshot_whose_readme_says_which_file_is_which(tmp_path: Path) -> None:
    for name in "abc":
        _write(tmp_path / f"{name}.jsonl", _texts(name))
    files = "".join(
        f"  - split: {s}\n    path: {f}.jsonl\n" for s, f in [("train", "c"), ("validation", "b"), ("test", "a")]
    )
    (tmp_path / "README.md").write_text(f"---\nconfigs:\n- config_name: default\n  data_files:\n{files}---\n")
    corpus = load_hub(tmp_path, "someone/texts", "abc123")
    assert [corpus.frames[s]["text"][0][0] for s in ("train", "validation", "test")] == ["c", "b", "a"]


def test_a_snapshot_whose_validation_lacks_most_styles_is_taken_as_it_is(tmp_path: Path) -> None:
    """As AuthorMix is: 14 styles, 8 of which have no validation passages."""
    styles = [f"author {i:02}" for i in range(14)]
    for split, there in (("train", styles), ("validation", styles[:6]), ("test", styles)):
        rows = [(f"{split} {style} {i}", style) for style in there for i in range(3)]
        _write(tmp_path / "data" / f"{split}-00000-of-00001.parquet", rows)
    files = "".join(f"  - split: {s}\n    path: data/{s}-*\n" for s in ("train", "validation", "test"))
    (tmp_path / "README.md").write_text(f"---\nconfigs:\n- config_name: default\n  data_files:\n{files}---\n")
    corpus = load_hub(tmp_path, "someone/texts", "abc123")
    assert [len(corpus.frames[split]) for split in ("train", "validation", "test")] == [42, 18, 42]
    [note] = corpus.notes
    assert "validation split has no passages of 8 of 14 styles ('author 06', 'author 07'" in note


LOAD = """
import sys
from pathlib import Path
import scipy.sparse.csgraph
from bench.data import load_local

def memory(what):
    return 1024 * int(Path("/proc/self/status").read_text().split(what + ":")[1].split()[0])

before = memory("VmRSS")
Path("/proc/self/clear_refs").write_text("5")  # VmHWM counts from here on
corpus = load_local(Path(sys.argv[1]))
print(memory("VmHWM") - before)
found = [row for frame in corpus.frames.values() for row in zip(frame["text"], frame["style"], strict=True)]
assert len(found) == len(set(found)) == 15_000
assert all(int(text[:5]) % 2 == int(style) for text, style in found)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_file_that_is_split_takes_less_memory_than_twice_its_size(tmp_path: Path) -> None:
    path = tmp_path / "some.jsonl"
    with path.open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps({"text": f"{i:05}" + "text " * 700, "label": i % 2}) + "\n" for i in range(15_000))
    loaded = subprocess.run([sys.executable, "-c", LOAD, path], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(loaded.stdout) < 2 * path.stat().st_size


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_one_file_is_split_within_each_style(tmp_path: Path, kind: str) -> None:
    _write(tmp_path / f"mine.{kind}", _texts("text", 50))
    corpus = load_local(tmp_path / f"mine.{kind}")
    assert corpus.name == "mine"
    assert {s: Counter(rows["style"]) for s, rows in corpus.frames.items()} == {
        "train": {"ann": 40, "bob": 40},
        "validation": {"ann": 5, "bob": 5},
        "test": {"ann": 5, "bob": 5},
    }
    assert corpus.duplicates == 0


def test_one_file_too_small_to_split(tmp_path: Path) -> None:
    _write(tmp_path / "mine.jsonl", _texts("text", 1))
    _refused(tmp_path / "mine.jsonl", "mine.jsonl: too few different texts for a validation split")


def test_one_file_whose_rows_name_their_document_keeps_documents_whole(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    rows = [
        {"text": f"{style} {i}", "style": style, "category": "c", "document": f"{style} {i // 5}"}
        for style in ("ann", "bob")
        for i in range(50)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    frames = load_local(path).frames
    documents = [set(frames[split]["document"]) for split in ("train", "validation", "test")]
    assert list(map(len, documents)) == [16, 2, 2]
    assert len(set.union(*documents)) == 20
    path.write_text("".join(json.dumps(row | {"document": row["style"]}) + "\n" for row in rows), encoding="utf-8")
    _refused(path, "too few different documents, which are kept whole, for a validation split")


def test_splits_that_a_person_made_stay_as_they_are(tmp_path: Path) -> None:
    _folder(tmp_path)
    _write(tmp_path / "validation.jsonl", [("v", "ann")])
    corpus = load_local(tmp_path)
    assert list(corpus.frames["validation"]["text"]) == ["v"]
    assert list(corpus.frames["train"]["text"]) == [text for text, _ in _texts("train")]
    assert "validation split has no passages of 1 of 2 styles ('bob')" in corpus.notes[0]


def test_without_train_there_is_nothing_to_learn_from(tmp_path: Path) -> None:
    (_folder(tmp_path) / "train.jsonl").unlink()
    _refused(tmp_path, str(tmp_path), "no file for the train split")


def test_without_a_validation_split_a_tenth_of_train_is_one(tmp_path: Path) -> None:
    _write(_folder(tmp_path) / "train.jsonl", _texts("train", 50))
    (tmp_path / "validation.jsonl").unlink()
    corpus = load_local(tmp_path)
    assert {split: len(rows) for split, rows in corpus.frames.items()} == {"train": 90, "validation": 10, "test": 20}
    assert Counter(corpus.frames["validation"]["style"]) == {"ann": 5, "bob": 5}
    assert list(corpus.frames["test"]["text"]) == [text for text, _ in _texts("test")]
    assert corpus.notes == ("There is no validation split: a tenth of train is the validation split.",)


@pytest.mark.parametrize("name", ["validation", "dev", "valid", "eval"])
def test_without_a_test_split_validation_is_it(tmp_path: Path, name: str) -> None:
    _write(tmp_path / "train.jsonl", _texts("train", 50))
    _write(tmp_path / f"{name}.jsonl", _texts("held out"))
    corpus = load_local(tmp_path)
    assert {split: len(rows) for split, rows in corpus.frames.items()} == {"train": 90, "validation": 10, "test": 20}
    assert list(corpus.frames["test"]["text"]) == [text for text, _ in _texts("held out")]
    assert "There is no test split: the validation split is the test split" in corpus.notes[0]


@pytest.mark.parametrize("name", ["train.jsonl", "everything.jsonl"])
def test_a_folder_with_train_alone_is_split_as_a_file_is(tmp_path: Path, name: str) -> None:
    _write(tmp_path / name, _texts("text", 50))
    assert load_local(tmp_path).fingerprint == load_local(tmp_path / name).fingerprint


def test_splits_that_are_made_keep_documents_whole(tmp_path: Path) -> None:
    rows = [{"text": f"{s} {i}", "label": s, "document": f"{s} {i // 5}"} for s in "ab" for i in range(50)]
    for split in ("train", "test"):
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    frames = load_local(tmp_path).frames
    assert not set(frames["train"]["document"]) & set(frames["validation"]["document"])


def test_hidden_labels_of_a_test_split_make_validation_the_test_split(tmp_path: Path) -> None:
    """As in GLUE, where each label of the test split is -1."""
    for split, labels in (("train", [0, 1]), ("validation", [0, 1]), ("test", [-1])):
        rows = [{"sentence": f"{split} {i}", "label": labels[i % len(labels)], "idx": i} for i in range(40)]
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    corpus = load_local(tmp_path)
    assert all(text.startswith("validation") for text in corpus.frames["test"]["text"])
    assert corpus.notes[0] == "The test split's labels are hidden: all are -1. It isn't used."
    assert "the validation split is the test split" in corpus.notes[1]
    (tmp_path / "test.jsonl").write_text('{"sentence": "a", "label": 1}\n{"sentence": "b", "label": -1}\n')
    _refused(tmp_path, "test.jsonl, line 2, column label: no train passage has the label '-1'", "with --splits")


def test_minus_one_is_a_label_where_train_has_it(tmp_path: Path) -> None:
    rows = "".join(json.dumps({"text": f"text {i}", "label": (-1, 0, 1)[i % 3]}) + "\n" for i in range(90))
    (tmp_path / "some.jsonl").write_text(rows, encoding="utf-8")
    assert load_local(tmp_path / "some.jsonl").styles == ("-1", "0", "1")


@pytest.mark.parametrize(
    ("labels", "order"),
    [
        ([10, 9, -2], ("-2", "9", "10")),
        (["10", "9.0", "007"], ("007", "9.0", "10")),
        (["10", "9", "x"], ("10", "9", "x")),
        ([True, False], ("false", "true")),
        ([3.0, 10, 2], ("2", "3", "10")),
        (["neg", "pos", "mixed"], ("mixed", "neg", "pos")),
    ],
)
def test_labels_are_in_the_order_of_their_values_or_names(
    tmp_path: Path, labels: list[object], order: tuple[str, ...]
) -> None:
    rows = [{"text": f"text {i}", "label": labels[i % len(labels)]} for i in range(90)]
    (tmp_path / "some.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert load_local(tmp_path / "some.jsonl").styles == order


def test_the_order_of_labels_is_part_of_the_fingerprint() -> None:
    rows = frame((f"text {i}", name, None, None) for i, name in enumerate(["neg", "pos"] * 5))
    one, other = (
        Corpus("some", "local", None, dict.fromkeys(SPLITS, rows), class_names=names)
        for names in (("neg", "pos"), ("pos", "neg"))
    )
    assert (one.styles, other.styles) == (("neg", "pos"), ("pos", "neg"))
    assert one.fingerprint != other.fingerprint
    assert one.fingerprint == Corpus("some", "local", None, dict.fromkeys(SPLITS, rows)).fingerprint


def test_numbers_that_are_no_classes_are_refused(tmp_path: Path) -> None:
    """A column of scores in CSV, where every cell is a string."""
    path = tmp_path / "some.csv"
    path.write_text("text,label\na,1\nb,0.5\nc,2\n", encoding="utf-8")
    _refused(path, "some.csv, row 2, column label: 0.5 isn't whole; labels are classes")


FEATURES = {"text": {"dtype": "string", "_type": "Value"}, "label": {"names": ["pos", "neg"], "_type": "ClassLabel"}}
ROWS = [{"text": f"text {i}", "label": i % 2} for i in range(40)]
README = """---
dataset_info:
  features:
  - name: text
    dtype: string
  - name: label
    dtype:
      class_label:
        names:
          '0': pos
          '1': neg
---
"""


@pytest.mark.parametrize("place", ["parquet", "dataset_info.json", "README.md"])
def test_class_names_are_found_where_datasets_keeps_them(tmp_path: Path, place: str) -> None:
    table = pa.Table.from_pylist(ROWS)
    if place == "parquet":
        known = json.dumps({"info": {"features": FEATURES}}).encode()
        pq.write_table(table.replace_schema_metadata({b"huggingface": known}), tmp_path / "train.parquet")
    else:
        (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
        content = README if place == "README.md" else json.dumps({"features": FEATURES})
        (tmp_path / place).write_text(content, encoding="utf-8")
    corpus = load_local(tmp_path)
    assert corpus.styles == ("pos", "neg")
    for rows in corpus.frames.values():
        numbers = [int(text.split()[1]) for text in rows["text"]]
        assert rows["style"].tolist() == [("pos", "neg")[number % 2] for number in numbers]


def test_two_classes_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    same = {"label": {"names": ["a", "a"], "_type": "ClassLabel"}}
    (tmp_path / "dataset_info.json").write_text(json.dumps({"features": same}), encoding="utf-8")
    _refused(tmp_path, "column label: two of its class names are the same: a, a")


@pytest.mark.parametrize("several", [True, False])
def test_what_save_to_disk_wrote(tmp_path: Path, several: bool) -> None:
    from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

    features = Features({"text": Value("string"), "label": ClassLabel(names=["pos", "neg"])})
    train = Dataset.from_list(ROWS, features=features)
    if several:
        parts = {"train": train, "test": train.select(range(10, 20)), "validation": train.select(range(5))}
        DatasetDict(parts).save_to_disk(tmp_path / "saved", num_shards={"train": 3, "test": 1, "validation": 1})
    else:
        train.save_to_disk(tmp_path / "saved")
    (tmp_path / "saved" / "cache-123.arrow").write_text("left by a map")
    corpus = load_local(tmp_path / "saved")
    assert corpus.styles == ("pos", "neg")
    if several:
        assert list(corpus.frames["train"]["text"]) == [row["text"] for row in ROWS]
        assert list(corpus.frames["test"]["text"]) == [row["text"] for row in ROWS[10:20]]
        (tmp_path / "saved" / "test" / "data-00000-of-00001.arrow").unlink()
        _refused(tmp_path / "saved", "state.json: it names data-00000-of-00001.arrow, and there is no such file")
    else:
        assert sum(map(len, corpus.frames.values())) == 40


def test_splits_are_chosen_by_name_or_file(tmp_path: Path) -> None:
    for name in ("train", "validation_matched", "validation_mismatched", "more/extra"):
        _write(tmp_path / f"{name}.jsonl", _texts(name))
    _refused(tmp_path, "several files for the validation split", "choose with --splits")
    chosen = DataOptions(splits={"train": "train", "validation": "validation_matched", "test": "more/extra.jsonl"})
    frames = load_local(tmp_path, chosen).frames
    assert [rows["text"][0].split()[0] for rows in frames.values()] == ["train", "validation_matched", "more/extra"]
    with pytest.raises(UsageError, match=r"has no file and no split 'dev'; it has more/extra.jsonl"):
        load_local(tmp_path, DataOptions(splits={"train": "dev"}))
    _write(tmp_path / "train.csv", _texts("train"))
    with pytest.raises(UsageError, match=r"train is train.csv, train.jsonl; name the file"):
        load_local(tmp_path, DataOptions(splits={"train": "train"}))


def test_a_configuration_is_chosen_among_those_of_a_readme(tmp_path: Path) -> None:
    for name in ("one", "two"):
        _write(tmp_path / name / "train.jsonl", _texts(name))
    configs = "".join(f"- config_name: {name}\n  data_files: {name}/*\n" for name in ("one", "two"))
    (tmp_path / "README.md").write_text(f"---\nconfigs:\n{configs}---\n")
    _refused(tmp_path, "several configurations (one, two), and none is the default one; add :NAME")
    corpus = load_local(tmp_path, config="two")
    assert (corpus.name, corpus.frames["train"]["text"][0].split()[0]) == (f"{tmp_path.name}:two", "two")
    with pytest.raises(UsageError, match="no configuration 'three'; it has one, two"):
        load_local(tmp_path, config="three")


def test_a_file_has_no_splits_to_choose_among(tmp_path: Path) -> None:
    _write(tmp_path / "train.jsonl", _texts("train"))
    with pytest.raises(UsageError, match="a single file has neither splits to choose"):
        load_local(tmp_path / "train.jsonl", DataOptions(splits={"train": "a"}))


def test_what_was_understood_is_told_in_a_line(tmp_path: Path) -> None:
    rows = [{"premise": f"p {i}", "hypothesis": f"h {i}", "label": i % 3, "genre": "ab"[i % 2]} for i in range(60)]
    (tmp_path / "nli.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    corpus = load_local(tmp_path / "nli.jsonl")
    assert corpus.understood == "text: columns `premise` and `hypothesis`; label: column `label`, 3 labels; no group"
    assert (corpus.categories, corpus.label, corpus.group) == ((), "label", None)
    grouped = load_local(tmp_path / "nli.jsonl", DataOptions(group="genre"))
    assert grouped.categories == ("a", "b")
    assert "group: column `genre`" in (grouped.understood or "")
    with pytest.raises(UsageError, match="has no groups; --group names the column"):
        corpus.select(["a"])


def test_a_folder_without_data(tmp_path: Path) -> None:
    _refused(tmp_path, str(tmp_path), "no file for the train split (found: no data)")


def test_each_split_may_have_a_format_of_its_own(tmp_path: Path) -> None:
    before = load_local(_folder(tmp_path)).fingerprint
    (tmp_path / "test.jsonl").unlink()
    _write(tmp_path / "test.csv", _texts("test"))
    assert load_local(tmp_path).fingerprint == before


def test_a_folder_whose_name_is_a_pattern_is_read_itself(tmp_path: Path) -> None:
    _folder(tmp_path / "run1", pattern="{}")
    _write(_folder(tmp_path / "run[1]") / "test.jsonl", [("itself", "ann"), ("too", "bob")])
    assert list(load_local(tmp_path / "run[1]").frames["test"]["text"]) == ["itself", "too"]


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_style_that_train_lacks(tmp_path: Path, split: str) -> None:
    _write(_folder(tmp_path) / f"{split}.jsonl", [("a", "ann"), ("b", "eve")])
    _refused(tmp_path, f"{split}.jsonl, line 2, column style: no train passage has the style 'eve'; train has ann, bob")


def test_fewer_than_two_styles(tmp_path: Path) -> None:
    _write(_folder(tmp_path) / "train.jsonl", [("a", "ann"), ("b", "ann")])
    _refused(tmp_path, "train.jsonl, column style: every row has 'ann'; two styles are needed")
    _refused(tmp_path / "train.jsonl", "train.jsonl, column style: every row has 'ann'")


def test_a_bad_row_in_a_folder_is_named(tmp_path: Path) -> None:
    _write(_folder(tmp_path, "csv") / "test.csv", [("a", "ann"), (" ", "bob")])
    _refused(tmp_path, f"{tmp_path / 'test.csv'}, row 2, column text: blank")


def test_an_empty_split(tmp_path: Path) -> None:
    (_folder(tmp_path) / "test.jsonl").write_text("\n")
    _refused(tmp_path, "test.jsonl: no rows")


@pytest.mark.skipif(not SAMPLE.is_dir(), reason=f"needs {SAMPLE.name} in shared/data, beside the project")
def test_authormix_sample(tmp_path: Path) -> None:
    corpus = load_local(SAMPLE)
    assert {split: len(rows) for split, rows in corpus.frames.items()} == {"train": 933, "validation": 135, "test": 267}
    assert corpus.styles == (
        *("amt_h", "amt_pp", "amt_qq", "bush", "fitzgerald"),
        *("hemingway", "obama", "trump", "woolf"),
    )
    assert corpus.categories == ("amt", "novel", "speech")
    assert corpus.majority() == ("bush", 40 / 267)
    copied = shutil.copytree(SAMPLE, tmp_path / "elsewhere")
    assert load_local(copied).fingerprint == corpus.fingerprint
