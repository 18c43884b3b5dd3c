"""The Hugging Face Hub: asked once, briefly, whether it is there; then a snapshot of one commit, or the cache."""

from __future__ import annotations

import os
import threading
from functools import cache
from pathlib import Path
from typing import Literal

from bench.errors import UsageError, first_line

_PATIENCE_S = 3.0
_LOCAL_ONLY = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
_MODEL_FILES = ["*.json", "*.safetensors", "*.txt", "*.model"]


class HubUnavailable(Exception):
    """The Hub doesn't answer, and what is asked for isn't in its cache."""


@cache
def unreachable() -> str | None:
    """Return why the Hub can't be reached, or None where it answers; takes a few seconds at the most."""
    if any(os.environ.get(name, "").upper() in {"1", "ON", "YES", "TRUE"} for name in _LOCAL_ONLY):
        return "HF_HUB_OFFLINE is set"
    answer: list[str | None] = []
    # A thread, because a name server that is silent blocks for longer than any time-out of the request.
    prober = threading.Thread(target=lambda: answer.append(_probe()), daemon=True)
    prober.start()
    prober.join(_PATIENCE_S)
    return answer[0] if answer else f"no answer within {_PATIENCE_S:.0f} seconds"


def _probe() -> str | None:
    from huggingface_hub import constants, get_session

    try:
        get_session().head(constants.ENDPOINT, timeout=_PATIENCE_S)
    except Exception as error:  # the client's own errors: huggingface_hub has changed its client before
        return str(error) or type(error).__name__
    return None


def snapshot(name: str, kind: Literal["model", "dataset"]) -> tuple[Path, str]:
    """Return the folder and the commit of `NAME` or `NAME@REVISION`, downloaded or from the cache.

    Raises HubUnavailable where it can't be had here now, and UsageError where the Hub has no such thing.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    repository, _, revision = name.partition("@")
    reason = unreachable()
    try:
        folder = snapshot_download(
            repository,
            repo_type=kind,
            revision=revision or None,
            local_files_only=reason is not None,
            allow_patterns=_MODEL_FILES if kind == "model" else None,
        )
    except (RepositoryNotFoundError, RevisionNotFoundError, GatedRepoError) as error:
        raise UsageError(f"--{_option(kind)} {name}: the Hub refuses it: {first_line(error)}") from error
    except HFValidationError as error:
        raise UsageError(f"--{_option(kind)} {name}: not a folder, and not a valid name on the Hub") from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise HubUnavailable(reason or first_line(error)) from error
    return Path(folder), Path(folder).name


def _option(kind: str) -> str:
    return "model" if kind == "model" else "data"
