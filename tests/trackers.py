"""What real trackers on this machine know of runs, read back from their own files."""

from __future__ import annotations

import json
import sqlite3
import struct
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from bench.tracking import Name


@dataclass
class Seen:
    """A run as a tracker knows it: `epochs` are the steps of each figure; the rest is by name."""

    ended: str | None = None
    kind: str | None = None
    told: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)
    epochs: dict[str, dict[int, float]] = field(default_factory=lambda: defaultdict(dict))


def settings(name: Name, folder: Path) -> Mapping[str, str]:
    """Return the environment in which a tracker keeps in `folder` what it is told."""
    return {
        "trackio": {"TRACKIO_DIR": str(folder), "HF_HUB_OFFLINE": "1"},
        "wandb": {"WANDB_MODE": "offline", "WANDB_DIR": str(folder)},
        "mlflow": {"MLFLOW_TRACKING_URI": folder.as_uri(), "MLFLOW_ALLOW_FILE_STORE": "true"},
        "tensorboard": {},
    }[name]


def seen(name: Name, folder: Path, store: Path) -> dict[str, Seen]:
    """Return the runs that a tracker knows, by their names."""
    reading: dict[Name, Callable[[], dict[str, Seen]]] = {
        "trackio": lambda: _trackio(folder / f"{store.name}.db"),
        "wandb": lambda: _wandb(folder),
        "mlflow": lambda: _mlflow(folder, store.name),
        "tensorboard": lambda: _tensorboard(store / "tensorboard"),
    }
    return reading[name]()


def _name(unique: str) -> str:
    return unique.rpartition(" ")[0]


def _trackio(path: Path) -> dict[str, Seen]:
    found: dict[str, Seen] = defaultdict(Seen)
    with sqlite3.connect(path) as database:
        for run, config in database.execute("SELECT run_name, config FROM configs"):
            found[_name(run)].told |= json.loads(config)
            found[_name(run)].kind = found[_name(run)].told["kind"]
        for run, step, metrics in database.execute("SELECT run_name, step, metrics FROM metrics ORDER BY id"):
            logged, one = json.loads(metrics), found[_name(run)]
            if "status" in logged:
                one.ended = logged["status"]
                one.told |= {key: value for key, value in logged.items() if isinstance(value, str)}
                one.figures |= {key: value for key, value in logged.items() if isinstance(value, float)}
            else:
                for key, value in logged.items():
                    one.epochs[key][step] = value
    return dict(found)


def _mlflow(folder: Path, experiment: str) -> dict[str, Seen]:
    from mlflow import MlflowClient

    client, found = MlflowClient(folder.as_uri()), {}
    kept = client.get_experiment_by_name(experiment)
    for run in client.search_runs([kept.experiment_id]) if kept else []:
        one = Seen(run.info.status, run.data.tags["kind"], run.data.params, run.data.metrics)
        for key in run.data.metrics:
            history = client.get_metric_history(run.info.run_id, key)
            one.epochs[key] = {metric.step: metric.value for metric in history}
        found[run.info.run_name] = one
    return found


def _tensorboard(folder: Path) -> dict[str, Seen]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import api_pb2, metadata
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    found = {}
    for path in folder.glob("*/*"):
        events, one = EventAccumulator(str(path)), Seen()
        events.Reload()
        content = events.PluginTagToContent(metadata.PLUGIN_NAME)
        began = HParamsPluginData.FromString(content[metadata.SESSION_START_INFO_TAG]).session_start_info
        for key, value in began.hparams.items():
            one.told[key] = getattr(value, value.WhichOneof("kind"))
        if metadata.SESSION_END_INFO_TAG in content:
            ended = HParamsPluginData.FromString(content[metadata.SESSION_END_INFO_TAG]).session_end_info
            one.ended = api_pb2.Status.Name(ended.status)
        for tag in events.Tags()["tensors"]:
            if tag == "record":
                text = events.Tensors(tag)[0].tensor_proto.string_val[0].decode()
                one.told |= dict(line.split(": ", 1) for line in text.split("\n\n"))
        for tag in events.Tags()["scalars"]:
            one.epochs[tag] = {event.step: event.value for event in events.Scalars(tag)}
            one.figures[tag] = events.Scalars(tag)[-1].value
        one.kind = one.told["kind"]
        found[_name(path.name)] = one
    return found


def _wandb(folder: Path) -> dict[str, Seen]:
    found: dict[str, Seen] = defaultdict(Seen)
    ids: dict[str, str] = {}
    for path in sorted(folder.glob("wandb/offline-run-*/*.wandb"), key=lambda path: path.stat().st_mtime_ns):
        run_id = path.stem.removeprefix("run-")
        for entry in _entries(path.read_bytes()):
            kind = entry.WhichOneof("record_type")
            if kind == "run":
                ids[run_id] = entry.run.display_name
                found[ids[run_id]].kind = entry.run.job_type
                found[ids[run_id]].told |= _values(entry.run.config.update)
            one = found[ids.get(run_id, "")]
            if kind == "config":
                one.told |= _values(entry.config.update)
            elif kind == "summary":
                one.figures |= _values(entry.summary.update)
            elif kind == "history":
                logged = _values(entry.history.item)
                for key, value in logged.items():
                    one.epochs[key][logged["epoch"]] = value
            elif kind == "exit":
                one.ended = f"exit {entry.exit.exit_code}"
    found.pop("", None)
    return dict(found)


def _values(items: Any) -> dict[str, Any]:
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}


def _entries(content: bytes) -> Iterator[Any]:
    """Read wandb's file of a run, a log in LevelDB's format after a header of 7 bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    at, part = 7, b""
    while at + 7 <= len(content):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        length, kind = struct.unpack("<HB", content[at + 4 : at + 7])
        part += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last of its pieces
            yield Record.FromString(part)
            part = b""
