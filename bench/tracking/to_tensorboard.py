"""TensorBoard's event files, a folder for each run."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2
from tensorboard.plugins.text.summary_v2 import text_pb
from tensorboard.summary.writer.event_file_writer import EventFileWriter

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bench.tracking.reports import Run, Value


class TensorBoard:
    """Parameters are told to its HParams dashboard, and how runs ended."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writers: dict[str, EventFileWriter] = {}
        folder.mkdir(exist_ok=True)
        self.place = f"tensorboard --logdir {folder}"

    def begin(self, run: Run) -> None:
        """Begin a file in the run's folder; one that has files already has told its parameters."""
        folder = self._folder / _file_name(run.group) / _file_name(f"{run.name} {run.id}")
        again = folder.is_dir()
        self._writers[run.id] = EventFileWriter(str(folder))
        if not again:
            started = plugin_data_pb2.SessionStartInfo(group_name=run.id, start_time_secs=time.time())
            for name, value in {**run.parameters, "kind": "trial" if run.trial else "run"}.items():
                _set(started.hparams[name], value)
            self._write(run, _about_session(metadata.SESSION_START_INFO_TAG, session_start_info=started))

    def epoch(self, run: Run, number: int, figures: Mapping[str, float]) -> None:
        """Write the figures, with the epoch as their step."""
        self._write(run, _scalars(figures), number)
        self._writers[run.id].flush()

    def end(self, run: Run, status: str, figures: Mapping[str, float], facts: Mapping[str, Value]) -> None:
        """Write the figures, what is told besides as a text, and how the run ended."""
        if run.id not in self._writers:
            self.begin(run)
        self._write(run, _scalars(figures))
        lines = [f"{name}: {value}" for name, value in {"status": status, **facts}.items()]
        self._write(run, text_pb("record", "\n\n".join(lines)))
        ended = plugin_data_pb2.SessionEndInfo(
            status=api_pb2.STATUS_SUCCESS if status == "ok" else api_pb2.STATUS_FAILURE, end_time_secs=time.time()
        )
        self._write(run, _about_session(metadata.SESSION_END_INFO_TAG, session_end_info=ended))
        self._writers.pop(run.id).close()

    def _write(self, run: Run, summary: Summary, step: int = 0) -> None:
        self._writers[run.id].add_event(Event(wall_time=time.time(), step=step, summary=summary))


def _scalars(figures: Mapping[str, float]) -> Summary:
    return Summary(value=[Summary.Value(tag=name, simple_value=value) for name, value in figures.items()])


def _about_session(tag: str, **content: object) -> Summary:
    about = metadata.create_summary_metadata(plugin_data_pb2.HParamsPluginData(**content))
    return Summary(value=[Summary.Value(tag=tag, metadata=about, tensor=metadata.NULL_TENSOR)])


def _set(target: object, value: Value) -> None:
    """Set the one of a protobuf value's fields that takes a value of this kind."""
    if isinstance(value, bool):
        target.bool_value = value  # type: ignore[attr-defined]
    elif isinstance(value, str):
        target.string_value = value  # type: ignore[attr-defined]
    else:
        target.number_value = value  # type: ignore[attr-defined]


def _file_name(text: str) -> str:
    return re.sub(r"[^\w.=+, -]", "_", text)[:200]
