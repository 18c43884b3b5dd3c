"""A published folder -> a data set on the Hugging Face Hub."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import hub
from bench.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


def upload(folder: Path, repository: str) -> str:
    """Put a published folder onto the Hub and return its address; what was uploaded before isn't uploaded again.

    Adapters that the folder lacks go from the Hub too. Raises UsageError where it can't be done.
    """
    from huggingface_hub import HfApi, get_token

    from bench.sharing.published import MODELS

    if (why := hub.unreachable()) is not None:
        raise UsageError(_not_uploaded(folder, f"the Hub can't be reached: {why}"))
    if get_token() is None:
        raise UsageError(_not_uploaded(folder, "there is no token; `hf auth login` asks for one"))
    api = HfApi()
    try:
        api.create_repo(repository, repo_type="dataset", exist_ok=True)
        api.upload_folder(
            repo_id=repository,
            folder_path=folder,
            repo_type="dataset",
            commit_message="Results by bench publish",
            delete_patterns=f"{MODELS}/*",
        )
    except Exception as error:  # the client's own errors, and those of what it is made of
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise UsageError(_not_uploaded(folder, said[0])) from error
    return address(repository)


def address(repository: str) -> str:
    """Return where the Hub shows a data set."""
    from huggingface_hub import constants

    return f"{constants.ENDPOINT}/datasets/{repository}"


def _not_uploaded(folder: Path, why: str) -> str:
    return f"{folder} is ready, but not uploaded: {why}. The same command tries again"
