from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.data import load_hub, load_local
from bench.errors import UsageError

SAMPLE = Path(__file__).parents[4] / "shared" / "data" / "authormix-sample"


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


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_missing_split(tmp_path: Path, split: str) -> None:
    (_folder(tmp_path) / f"{split}.jsonl").unlink()
    _refused(tmp_path, str(tmp_path), f"no file for the {split} split")


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
    _refused(tmp_path, "train.jsonl, column style: every row has 'ann'")
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
