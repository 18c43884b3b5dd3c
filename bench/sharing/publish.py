"""A store -> a folder that the Hugging Face Hub shows as a data set with a leaderboard."""

from __future__ import annotations

import shutil
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # the package exports it lazily

from bench.errors import UsageError
from bench.reporting import document, page
from bench.sharing import adapters, cards, published, redaction, tables, upload
from bench.store import baseline
from bench.store.files import Store
from bench.store.record import RecordError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bench.store.record import Data, Record

HUB = "hub:"


@dataclass(frozen=True)
class Published:
    """What was published: the folder, how much is in it, which files of the store it lacks and why, and its address."""

    folder: Path
    runs: int
    adapters: int
    left_out: tuple[tuple[Path, str], ...]
    address: str | None


def publish(source: Path, to: str, saved: Path | None, license_id: str, *, anonymous: bool) -> Published:
    """Publish the store, or the published folder, `source` in a folder, or `hub:ORG/NAME` on the Hub as well.

    `saved` holds the runs' adapters, by default `source/adapters`. A folder that was published before is replaced as a
    whole, unless it has what the new one would lack. Raises UsageError; what couldn't be uploaded is in its folder.
    """
    repository = _repository(to)
    folder = Path(f"{source if source.name else source.resolve()}-published") if repository else Path(to)
    study = upload.address(repository) if repository else None
    with published.as_store(source) as place:
        contents = Store(place).read()
        if not contents.records:
            raise UsageError(f"{source} holds no record to publish")
        shown = [redaction.anonymous(one) if anonymous else redaction.outward(one) for one in contents.records]
        kept = _adapters(saved, adapters.beside(place), shown)
        _check(folder, {record.uid for record in shown}, set(kept))
        with _replacing(folder) as part:
            _write_tables(part, place, shown, number_documents=anonymous)
            found = document.analyses(shown, place)
            report = document.of_analyses(found, pictures=True)
            (part / published.PAGE).write_bytes(page.render(report))
            compared = document.comparison_tables(found)
            card = cards.dataset(report.title, compared, len(shown), len(kept), license_id, repository)
            (part / published.CARD).write_text(card, encoding="utf-8")
            _write_models(part / published.MODELS, kept, shown, cards.variants(found), study)
    address = upload.upload(folder, repository) if repository else None
    return Published(folder, len(shown), len(kept), contents.unreadable, address)


def _repository(to: str) -> str | None:
    """Return the Hub's name in `hub:ORG/NAME`; None for a folder."""
    if not to.startswith(HUB):
        return None
    name = to.removeprefix(HUB)
    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise UsageError(f"--to {to}: {error}") from error
    if "/" not in name:
        raise UsageError(
            f"--to {to}: expected hub:ORG/NAME, your name on the Hub or an organisation's before the slash"
        )
    return name


def _adapters(saved: Path | None, beside: Path, records: Sequence[Record]) -> dict[str, Path]:
    """Return the adapters of these runs by uid."""
    if saved is not None and not saved.is_dir():
        raise UsageError(f"--adapters {saved}: there is no such folder; name the one that --save-adapters named")
    tested = {record.uid for record in records if record.quality}
    return {uid: path for uid, path in adapters.found(saved or beside).items() if uid in tested}


def _check(folder: Path, runs: set[str], saved: set[str]) -> None:
    """Refuse to replace what isn't a published folder, or one that has more than is to be published."""
    if not folder.exists() and _beside(folder, "old").is_dir():
        _beside(folder, "old").rename(folder)  # a kill came between the two renames that replace a folder
    if not folder.exists():
        return
    if not folder.is_dir() or (any(folder.iterdir()) and not published.is_published(folder)):
        raise UsageError(f"{folder} is there, and is no published folder; name another")
    if published.is_published(folder) and not published.uids(folder) <= runs:
        raise UsageError(f"{folder} has runs that the store lacks; name another folder, or join both with bench merge")
    if not set(adapters.found(folder / published.MODELS)) <= saved:
        raise UsageError(f"{folder} has adapters that wouldn't be in it any more; name their folder with --adapters")


@contextmanager
def _replacing(folder: Path) -> Iterator[Path]:
    """Give an empty folder within, which takes the place of `folder` when it is whole."""
    part, old = _beside(folder, "part"), _beside(folder, "old")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        yield part
        if folder.exists():
            shutil.rmtree(old, ignore_errors=True)
            folder.rename(old)
        part.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _beside(folder: Path, word: str) -> Path:
    return folder.resolve().with_name(f".{folder.resolve().name}.{word}")


def _write_tables(part: Path, place: Path, records: Sequence[Record], *, number_documents: bool) -> None:
    """Write the records, and the predictions of their runs and baselines, which lie in the store `place`."""
    (part / published.RECORDS).parent.mkdir()
    pq.write_table(tables.records(records), part / published.RECORDS, write_page_checksum=True)
    runs = (
        tables.predictions(uid, content, data.styles, number_documents=number_documents)
        for uid, data, content in _predictions(place, records)
    )
    tables.write_predictions(part / published.PREDICTIONS, runs)


def _predictions(place: Path, records: Sequence[Record]) -> Iterator[tuple[str, Data, bytes]]:
    """Yield the predictions of runs and baselines, as the store has them, with their uid and what they are of."""
    for record in records:
        if (content := Store(place).predictions(record)) is not None:
            yield record.uid, record.data, content
    for data in {record.data.fingerprint: record.data for record in records if record.data.baseline}.values():
        with suppress(RecordError):
            if found := baseline.find(place, data.fingerprint):
                yield published.baseline_uid(data), data, found.predictions


def _write_models(
    folder: Path,
    saved: Mapping[str, Path],
    records: Sequence[Record],
    variants: Mapping[str, cards.Variant],
    study: str | None,
) -> None:
    """Write a folder with a card for each adapter; its backbone is called what the record calls it."""
    for record in records:
        if record.uid in saved and record.quality:
            target = folder / record.uid
            adapters.copy(saved[record.uid], target)
            adapters.name_backbone(target, record.backbone)
            peft = adapters.for_peft(target)
            card = cards.model(record, record.quality.test, variants.get(record.uid), peft=peft, study=study)
            (target / published.CARD).write_text(card, encoding="utf-8")
