"""A task's scratch folder: the tokenised texts that its runs read; and a job for each of these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from safetensors import SafetensorError

from bench import console
from bench.data import SPLITS, HeldOut, Splits, text_hashes, tokenise
from bench.errors import UsageError
from bench.job import Job, examples_path
from bench.model import backbone, weights

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from transformers import PreTrainedTokenizerFast

    from bench.spec import RunSpec
    from bench.study.preparing import Prepared
    from bench.study.request import Request

EXAMPLE_COLUMNS = ["text_hash", "document", "category", "style"]
"""What is told of each test example beside its prediction; its text stays with the user."""

CHECKPOINTS = ".checkpoints"
LONG_EPOCH_S = 60.0
"""An epoch that takes so long is worth keeping without being asked."""
_SLOWER_IN_ONE_PASS = {("ia3", "cpu", "fp32")}
"""Of which methods runs are quicker one by one, and where (docs/speed.md)."""


@dataclass(frozen=True)
class Ready:
    """A task whose texts are tokenised, in its scratch folder, and the jobs of it that are to be done.

    `label` names it to a person where the study has several.
    """

    task: Prepared
    label: str
    scratch: Path
    jobs: list[Job]
    contents: weights.Contents
    truncated: int


def lay_out(task: Prepared, label: str, todo: Sequence[RunSpec], scratch: Path, request: Request) -> Ready:
    """Tokenise a task's texts and leave in its scratch folder, which is made, what its runs read."""
    model = task.sources.backbone
    contents, tokenizer = weights.contents(model), backbone.tokenizer(model)
    with console.progress("tokenising") as watch:
        splits = tokenise(task.corpus, tokenizer, task.study.training.max_length, watch)
    weights.check_ids(model, contents, max(int(getattr(splits, split).ids.max()) for split in SPLITS))
    _say(model.name, contents)
    if splits.train.types is not None and not tokenizer.num_special_tokens_to_add(pair=True):
        console.say(f"{model.name}'s tokenizer puts nothing between the two texts of a pair.")
    if task.corpus.understood and task.corpus.label != "style":  # our own columns go without saying
        console.say(f"{task.corpus.name}: {task.corpus.understood}")
    jobs = _jobs(task, label, todo, splits, scratch, request, packs=contents.packs)
    if task.held_out is not None and backbone.models_language(model):
        _hold_out(task.held_out, model.name, tokenizer, scratch)
    return Ready(task, label, scratch, jobs, contents, splits.truncated)


def timing_jobs(ready: Sequence[Ready], specs: Sequence[RunSpec], request: Request) -> list[Job]:
    """Return jobs in scratch folders of their own, else they would be charged what other runs computed and kept."""
    found: list[Job] = []
    for one in ready:
        if mine := one.task.own(specs):
            apart = one.scratch.with_name(f"{one.scratch.name}-timing")
            splits = Splits.load(one.scratch)
            found += _jobs(one.task, one.label, mine, splits, apart, request, packs=False)
    return found


def _jobs(
    prepared: Prepared,
    label: str,
    specs: Sequence[RunSpec],
    splits: Splits,
    scratch: Path,
    request: Request,
    *,
    packs: bool,
) -> list[Job]:
    """Write down what all runs read, in a new folder, and return a job for each run.

    Raises UsageError where the store refuses.
    """
    test = prepared.corpus.frames["test"]
    examples = test.assign(text_hash=text_hashes(test))[EXAMPLE_COLUMNS]
    try:
        scratch.mkdir()
        if any(spec.search for spec in specs):
            splits.without_test().save(scratch)  # what a search can't read, it can't have chosen by
        else:
            splits.save(scratch)
            examples.to_parquet(examples_path(scratch), index=False)
    except (OSError, SafetensorError) as error:  # neither names the file
        raise unwritable(prepared.store.folder, error) from error
    checkpoints = prepared.store.folder / CHECKPOINTS
    in_one_pass = packs and not request.timing and request.checkpoint != "on"
    return [
        Job(
            spec=spec,
            styles=prepared.corpus.styles,
            scratch=scratch,
            adapter=scratch / f"{spec.uid}-adapter" if request.save_adapters else None,
            checkpoint=None if request.checkpoint == "off" else checkpoints / f"{spec.uid}.safetensors",
            checkpoint_after_s=LONG_EPOCH_S if request.checkpoint == "auto" else 0.0,
            task=label,
            one_pass=_one_pass(spec) if in_one_pass else None,
        )
        for spec in specs
    ]


def _one_pass(spec: RunSpec) -> str | None:
    """Return what it has in common with runs that are quicker in one pass with it."""
    where = (spec.variant.method, spec.training.device, spec.training.dtype)
    return None if where in _SLOWER_IN_ONE_PASS else spec.one_pass


def _hold_out(text: str, model: str, tokenizer: PreTrainedTokenizerFast, scratch: Path) -> None:
    """Leave in the scratch folder the text by which forgetting is measured."""
    try:
        held_out = HeldOut.of(text, tokenizer)
    except Exception as error:  # which is what tokenizers raises for a word that it doesn't know
        console.say(f"Forgetting isn't measured: {model}'s tokenizer can't read the text ({error}).")
        return
    held_out.save(scratch)


def unwritable(folder: Path, error: Exception) -> UsageError:
    """Return what to tell of a store that can't be written."""
    return UsageError(f"{folder} can't be written: {error}")


def _say(name: str, contents: weights.Contents) -> None:
    """Say what isn't as it should be with the model's weights, and what is done about it."""
    if contents.stripped_prefix:
        console.say(f"The names of {name}'s weights begin with {contents.stripped_prefix}, which is taken off.")
    if contents.new_parts:
        parts = ", ".join(contents.new_parts)
        console.say(f"{name}'s weights lack {parts}: it is the same for every seed at first, and trains with the head.")
