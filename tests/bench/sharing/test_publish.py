"""A store as others get it: a data set that load_dataset reads, with cards, a page and adapters, and no text."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
import shutil
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

import datasets
import huggingface_hub
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub import DatasetCard, ModelCard
from record_factory import DEMO, STYLES, build_baseline, failed_record, lora, make_record, predictions_parquet

import methods
from bench import hub
from bench.errors import UsageError
from bench.reporting import document, page
from bench.sharing import adapters, published
from bench.sharing import publish as publishing
from bench.sharing.upload import upload
from bench.store.files import Store
from methods import contract
from methods.adapters import load, save

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bench.store.record import Record

TEXT = "Call me Ishmael, said nobody in this corpus."
SECRETS = (
    *("maxine", "Example CPU", "6.1-x86_64", "NVIDIA Example", "550.54", "GPU-1a2b", "0123456789abcdef0123"),
    "secret-model",
    "secret-texts",
)
"""Pieces of what the store below tells of machine, user, paths, and what they are called."""
SECRET = {
    "environment.command": "python -m bench run --data /home/maxine/secret-texts --model /home/maxine/secret-model",
    "environment.gpu": "NVIDIA Example",
    "environment.driver": "550.54",
    "training.gpu": "GPU-1a2b",
    "backbone.source": "local",
    "backbone.name": "secret-model",
    "data.source": "local",
    "data.name": "secret-texts",
    "notes": [f"compute is null: OSError: /home/maxine/secret-model has no room for {TEXT}"],
}
publish = partial(publishing.publish, saved=None, license_id="cc-by-4.0", anonymous=False)


def _predictions(variant: Any, seed: int) -> bytes:
    """A run's predictions with more than is to be shown: the texts, and documents called by their paths."""
    frame = pd.read_parquet(pa.BufferReader(predictions_parquet(variant, seed)))
    frame["document"] = "/home/maxine/" + frame["document"]
    return frame.assign(text=TEXT).to_parquet(index=False)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two variants with two seeds on two machines, a failed run, the baseline, and one run's adapter."""
    folder = tmp_path_factory.mktemp("results") / "study"
    told = {**SECRET, **build_baseline(folder, 0.5)}
    for seed, machine in ((0, {}), (1, {"environment.cpu": "Example CPU 4000"})):
        for variant in (DEMO[1], replace(lora(32, 0.47), forgetting=0.3)):
            content = _predictions(variant, seed)
            hashed = {"quality.predictions_sha256": hashlib.sha256(content).hexdigest()}
            Store(folder).put(make_record(variant, seed, {**told, **machine, **hashed}), content)
    failed = failed_record(DEMO[5], message=f"/home/maxine/secret-model can't take {TEXT}")
    unlike = make_record(DEMO[5], changes=told)
    Store(folder).put(unlike.model_copy(update={"status": "failed", "error": failed.error, "quality": None}))
    module: Any = methods.get("lora")(alpha=32).apply(contract.tiny_gpt2())
    module.peft_config["default"].base_model_name_or_path = "/home/maxine/secret-model"
    save(module, adapters.beside(folder) / _run(folder, "lora").uid)
    return folder


def _run(folder: Path, method: str) -> Record:
    """The first run of a method in a store."""
    return next(record for record in Store(folder).read().records if record.method == method and record.seed == 0)


@pytest.fixture(scope="module")
def folder(store: Path) -> Path:
    """The store, published."""
    return publish(store, str(store.parent / "open")).folder


@pytest.fixture(scope="module")
def anonymous(store: Path) -> Path:
    """The store, published anonymously."""
    return publish(store, str(store.parent / "anonymous"), anonymous=True).folder


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the pictures out of the page: they take seconds."""
    without = partial(document.of_analyses, pictures=False)
    monkeypatch.setattr(document, "of_analyses", lambda found, pictures: without(found))


def test_load_dataset_reads_both_tables_with_their_types(store: Path, folder: Path, tmp_path: Path) -> None:
    records = datasets.load_dataset(str(folder), "records", split="train", cache_dir=str(tmp_path))
    predictions = datasets.load_dataset(str(folder), "predictions", split="test", cache_dir=str(tmp_path))
    run = _run(store, "lora")
    [row] = [row for row in records if row["uid"] == run.uid]
    assert run.quality is not None
    assert (len(records), row["seed"], row["status"]) == (5, 0, "ok")
    assert row["quality_test_accuracy"] == run.quality.test.accuracy
    assert row["data_styles"] == list(STYLES)
    assert json.loads(row["hyperparameters"])["alpha"] == 32
    assert records.features["parameters_trainable"].dtype == "int64"
    assert records.features["speed_train_tokens_per_s"].dtype == "float64"
    assert records.features["environment_git_dirty"].dtype == "bool"
    rows = predictions.to_pandas()
    kept = pd.read_parquet(store / f"{run.uid}.parquet")
    its_own = rows[rows["uid"] == run.uid]
    for column in ("text_hash", "style", "prediction", "document"):
        assert its_own[column].tolist() == kept[column].tolist()
    assert its_own["passage"].tolist() == list(range(len(kept)))
    assert list(its_own["logp"].iloc[3]) == [kept[f"logp:{style}"].iloc[3] for style in STYLES]
    assert rows["uid"].nunique() == 5  # four runs with a result, and the baseline


def test_what_all_runs_have_in_common_is_written_once(store: Path, folder: Path) -> None:
    assert _size(folder / "data/predictions.parquet", "text_hash") < 2 * _size(
        store / f"{_run(store, 'lora').uid}.parquet", "text_hash"
    )


def _size(path: Path, column: str) -> int:
    """What a column of a table takes, in bytes."""
    file = pq.ParquetFile(path).metadata
    groups = [file.row_group(place) for place in range(file.num_row_groups)]
    columns = [group.column(place) for group in groups for place in range(group.num_columns)]
    return sum(found.total_compressed_size for found in columns if found.path_in_schema == column)


def _said(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every file of a folder, and what its tables and its pages' pictures say once they are decoded."""
    for path in folder.rglob("*"):
        yield path.name, path.relative_to(folder).as_posix().encode()
        if path.is_file():
            content = path.read_bytes()
            yield path.name, content
            for picture in re.findall(rb"svg\+xml;charset=utf-8,([^']{9,})", content):
                yield path.name, unquote_to_bytes(picture)
            for packed in re.findall(rb'id="figures">([^<]+)', content):
                yield path.name, gzip.decompress(base64.b64decode(packed))
        if path.suffix == ".parquet":
            for column in pq.read_table(path).itercolumns():
                yield path.name, str(column.unique().to_pylist() if column.type == pa.string() else []).encode()


def test_texts_stay_on_the_machine_and_their_hashes_go(folder: Path) -> None:
    whole = [(name, said) for name, said in _said(folder) if b"Ishmael" in said]
    assert whole == []
    first_hash = hashlib.sha256(b"passage 0").hexdigest()[:16].encode()
    assert any(first_hash in said for name, said in _said(folder) if name == "predictions.parquet")


def test_without_a_wish_to_be_anonymous_the_machine_is_told(folder: Path) -> None:
    found = b"".join(said for _, said in _said(folder))
    assert [secret for secret in SECRETS if secret.encode() not in found] == []


def test_anonymous_means_without_machine_user_and_paths(anonymous: Path) -> None:
    leaks = [
        (secret, name) for secret in (*SECRETS, "/home/") for name, said in _said(anonymous) if secret.encode() in said
    ]
    assert leaks == []


def test_machines_without_a_name_are_told_apart(anonymous: Path) -> None:
    rows = pq.read_table(anonymous / published.RECORDS).to_pandas()
    assert rows.groupby("seed")["environment_cpu"].nunique().tolist() == [1, 1]
    assert rows["environment_cpu"].nunique() == 2


def test_documents_without_a_name_are_told_apart(store: Path, anonymous: Path) -> None:
    run = _run(store, "lora")
    rows = pq.read_table(anonymous / published.PREDICTIONS).to_pandas()
    numbers = rows[rows["uid"] == run.uid]["document"].reset_index(drop=True)
    names = pd.read_parquet(store / f"{run.uid}.parquet")["document"]
    assert (pd.factorize(numbers)[0] == pd.factorize(names)[0]).all()


def test_the_card_tells_the_hub_what_it_is_and_shows_the_comparison(folder: Path) -> None:
    card = DatasetCard.load(folder / "README.md")
    assert (card.data.license, card.data.task_categories) == ("cc-by-4.0", ["text-classification"])
    assert card.data.metrics == ["accuracy", "f1"]
    assert [config["config_name"] for config in card.data.configs] == ["records", "predictions"]
    assert "| lora" in card.text
    assert "95% interval" in card.text
    assert "Forgetting |" in card.text
    assert "Forgetting is how much worse" in card.text


def test_the_page_is_the_report_with_its_pictures(folder: Path) -> None:
    shown = (folder / "report.html").read_bytes()
    assert b"Accuracy against cost" in shown
    assert b"svg+xml;charset=utf-8," in shown


def test_an_adapter_has_a_card_with_its_accuracy_and_where_that_comes_from(store: Path, folder: Path) -> None:
    run = _run(store, "lora")
    card = ModelCard.load(folder / "models" / run.uid / "README.md")
    own, f1, mean = card.data.eval_results
    assert run.quality is not None
    assert (own.metric_value, f1.metric_value) == (run.quality.test.accuracy, run.quality.test.macro_f1)
    other = next(one for one in Store(store).read().records if one.method == "lora" and one.seed == 1)
    assert other.quality is not None
    assert mean.metric_value == pytest.approx((own.metric_value + other.quality.test.accuracy) / 2)
    low, high = mean.metric_args["interval_95"]
    assert low < mean.metric_value < high
    assert mean.metric_args["seeds"] == [0, 1]
    assert (own.dataset_name, own.dataset_args) == ("secret-texts", {"fingerprint": run.data.fingerprint})
    assert run.uid in card.text
    assert card.data.library_name == "peft"


def test_a_published_adapter_loads_and_names_its_backbone_as_the_record_does(store: Path, folder: Path) -> None:
    place = folder / "models" / _run(store, "lora").uid
    assert json.loads((place / "adapter_config.json").read_text())["base_model_name_or_path"] == "secret-model"
    assert load(contract.tiny_gpt2(), place)


@pytest.mark.usefixtures("quick")
def test_publishing_again_replaces_the_folder_as_a_whole(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out"
    publish(store, str(target))
    before = (target / "README.md").read_text()
    (target / "stale").touch()

    def break_off(*_: Any) -> bytes:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(page, "render", break_off)
        with pytest.raises(OSError, match="No space"):
            publish(store, str(target), license_id="mit")
    assert (target / "README.md").read_text() == before
    publish(store, str(target), license_id="mit")
    assert "license: mit" in (target / "README.md").read_text()
    assert not (target / "stale").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_a_kill_left_between_two_names_is_not_lost(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / ".out.old")
    Store(tmp_path / "other").put(make_record(DEMO[0]))
    with pytest.raises(UsageError, match="has runs that the store lacks"):
        publish(tmp_path / "other", str(tmp_path / "out"))
    assert published.uids(tmp_path / "out") == published.uids(folder)


def test_what_would_be_lost_is_not_replaced(store: Path, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    with pytest.raises(UsageError, match="is no published folder"):
        publish(store, str(tmp_path / "mine"))
    Store(tmp_path / "other").put(make_record(DEMO[0]))
    with pytest.raises(UsageError, match="has runs that the store lacks"):
        publish(tmp_path / "other", str(folder))
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UsageError, match="has adapters that wouldn't be in it"):
        publish(store, str(folder), saved=empty)
    with pytest.raises(UsageError, match="holds no record"):
        publish(empty, str(tmp_path / "out"))


@pytest.mark.parametrize("to", ["hub:", "hub:name", "hub:a/b/c", "hub:a/b c"])
def test_a_name_that_the_hub_can_not_have_is_refused(store: Path, to: str) -> None:
    with pytest.raises(UsageError, match=f"--to {to}"):
        publish(store, to)


@pytest.mark.usefixtures("quick")
def test_without_the_hub_the_folder_is_there_all_the_same(store: Path) -> None:
    with pytest.raises(UsageError, match=r"study-published is ready, but not uploaded: .*HF_HUB_OFFLINE is set"):
        publish(store, "hub:someone/results")
    made = store.with_name("study-published")
    assert published.is_published(made)
    study = ModelCard.load(made / "models" / _run(store, "lora").uid / "README.md").data.eval_results[0].source_url
    assert study == "https://huggingface.co/datasets/someone/results"


def test_without_a_token_it_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "unreachable", lambda: None)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    with pytest.raises(UsageError, match="there is no token"):
        upload(folder, "someone/results")


class Hub:
    """The client's interface to the Hub, which takes what it is given, or breaks off once."""

    taken: tuple[Any, ...] = ()
    breaks = False

    def create_repo(self, repository: str, repo_type: str, exist_ok: bool) -> None:
        assert (repo_type, exist_ok) == ("dataset", True)

    def upload_folder(self, repo_id: str, folder_path: Path, repo_type: str, **_: Any) -> None:
        if Hub.breaks:
            Hub.breaks = False
            raise ConnectionError("the line went dead\nand more")
        Hub.taken = (repo_id, folder_path, repo_type)


def test_the_same_command_goes_on_where_an_upload_broke_off(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "unreachable", lambda: None)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: "hf_x")
    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    Hub.breaks = True
    with pytest.raises(UsageError, match=r"not uploaded: the line went dead\. The same command"):
        upload(folder, "someone/results")
    assert upload(folder, "someone/results") == "https://huggingface.co/datasets/someone/results"
    assert Hub.taken == ("someone/results", folder, "dataset")
