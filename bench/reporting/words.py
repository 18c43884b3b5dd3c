"""The report's sentences and names: what was compared, and what it means."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from bench import stats
from bench.reporting.model import Paragraph, code, paragraph, strong
from bench.reporting.text import count, score

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bench.stats import Comparison, Estimate, Summary

PRESETS = {
    "full": "GPT-2 (124M) on AuthorMix, the comparison that this project is about",
    "demo": "the small backbone and the corpus that come with the project and need no network; "
    "not GPT-2 124M, and not AuthorMix",
    "custom": "a backbone or texts that were named on the command line",
}
TURN = "▲"
SOURCES = {
    "hub": "pretrained, from the Hugging Face Hub",
    "local": "from a local folder",
    "embedded": "a small GPT-2 pretrained for this project, which comes with it",
    "random": "weights never trained",
}
SETTINGS = {
    "epochs": "epochs",
    "max_steps": "max. steps",
    "batch_size": "batch size",
    "max_length": "max. length",
    "learning_rate": "learning rate",
    "weight_decay": "weight decay",
    "warmup_share": "warm-up share",
    "dtype": "dtype",
    "device": "device",
    "protocol": "protocol",
}


def heading(comparison: Comparison, apart: Sequence[str] = ()) -> str:
    """Name what was compared; `apart` holds what more tells it from others: "backbone" or "splits"."""
    record = comparison.newest
    backbone, splits = record.backbone, record.data
    weights = "random weights" if backbone.source == "random" else backbone.source
    revision = f" {backbone.revision[:10]}" if "backbone" in apart else ""
    sizes = f", {count(splits.sizes.train)} train passages" if "splits" in apart else ""
    fingerprint = f" ({splits.fingerprint[:10]}{sizes})" if "splits" in apart else ""
    return f"{record.preset}: {backbone.name} ({weights}{revision}) on {splits.name}{fingerprint}"


def differences(found: Sequence[Comparison]) -> list[str]:
    """Name what tells the comparisons apart, among preset, backbone and splits."""
    newest = [comparison.newest for comparison in found]
    aspects: dict[str, set[tuple[str, ...]]] = {
        "preset": {(run.preset,) for run in newest},
        "backbone": {(run.backbone.name, run.backbone.source, run.backbone.revision) for run in newest},
        "splits": {(run.data.fingerprint,) for run in newest},
    }
    return [aspect for aspect, values in aspects.items() if len(values) > 1]


def headings(found: Sequence[Comparison]) -> list[str]:
    """A heading for each comparison that tells it from the others."""
    apart = differences(found)
    return [heading(comparison, apart) for comparison in found]


def introduction(comparison: Comparison) -> list[Paragraph]:
    """Say which preset it is and what that means, with a warning where the backbone was never trained."""
    record = comparison.newest
    backbone, data = record.backbone, record.data
    said = [
        paragraph(
            *("Preset ", strong(record.preset), f": {PRESETS[record.preset]}. Backbone ", code(backbone.name)),
            *(f" ({backbone.source}: {SOURCES[backbone.source]}); splits ", code(data.name)),
            f" ({data.source}), {count(len(data.styles))} styles, {count(data.sizes.test)} test passages.",
        )
    ]
    if backbone.source == "random":
        said.append(
            paragraph(
                strong("The backbone's weights are random: they were never trained."),
                " The figures say how the methods fit a random network, and nothing about pretrained GPT-2.",
                tone="warning",
            )
        )
    return said


def answer(comparison: Comparison, names: Mapping[int, str]) -> Paragraph:
    """Say in words what came out best and by how much; `names` is by the summary's place."""
    ranked = [(names[i], s.accuracy) for i, s in enumerate(comparison.summaries) if s.accuracy]
    if not ranked:
        return paragraph(strong("No run has a result."), " What failed stands below.")
    name, best = ranked[0]
    return paragraph(
        strong(f"Highest mean accuracy: {name}, {spread(best)}"),
        f" ({seeds(best)}){_against_majority(best, comparison.majority.accuracy)}.",
        *_runner_up(best, ranked[1:]),
    )


def spread(found: Estimate) -> str:
    """A score as mean ± standard deviation, without the latter for a single value."""
    return score(found.mean) + (f" ± {100 * found.sd:.1f}" if found.sd is not None else "")


def seeds(found: Estimate) -> str:
    """How many seeds an estimate rests on."""
    return f"n = {found.n} {'seed' if found.n == 1 else 'seeds'}"


def points(high: float, low: float) -> float:
    """The difference between two scores in percentage points, as between the figures that are shown."""
    return round(round(100 * high, 1) - round(100 * low, 1), 1)


def _against_majority(best: Estimate, majority: float) -> str:
    gap = points(best.mean, majority)
    if gap == 0:
        return ", no better than always naming the most frequent style"
    return f", {abs(gap)} points {'above' if gap > 0 else 'below'} always naming the most frequent style"


def _runner_up(best: Estimate, others: Sequence[tuple[str, Estimate]]) -> list[str]:
    if not others:
        return []
    name, second = others[0]
    gap = points(best.mean, second.mean)
    said = f" Next: {name}, {f'{gap} points lower' if gap else 'level with it'}. "
    if best.sd is None or second.sd is None:
        return [said + "One seed can't tell a difference from chance."]
    if best.mean - second.mean < best.sd + second.sd:
        said += "The two overlap within their standard deviations. "
    return [said + "The order is by mean alone, no test of the differences."]


def turns(sweep: Sequence[Summary]) -> Paragraph:
    """Say at which alpha LoRA did best, and at which its validation loss turned up."""
    scored = [(found.mean, summary) for summary in sweep if (found := summary.accuracy)]
    best = max(scored, key=lambda pair: pair[0], default=None)
    known = [summary for summary in sweep if len(summary.validation_loss) > 1]
    turned = [
        f"{summary.hyperparameters['alpha']} (epoch {epoch})"
        for summary in known
        if (epoch := stats.turned_up(summary.validation_loss)) is not None
    ]
    said = f"Mean accuracy is highest at alpha {best[1].hyperparameters['alpha']}. " if best else ""
    if not known:
        return paragraph(f"{said}Whether the validation loss turned up can't be told from fewer than two epochs.")
    where = f"alpha {', '.join(turned)}" if turned else "no alpha"
    return paragraph(f"{said}The validation loss turned up at {where}.")


def majority_note(comparison: Comparison) -> Paragraph:
    """Say what the row of the baseline is."""
    return paragraph(
        "The row ",
        strong("majority class"),
        " is the baseline that always names the train split's most frequent style, ",
        code(comparison.majority.style),
        ".",
    )


def reading(comparison: Comparison, settings: Sequence[str]) -> list[Paragraph]:
    """How to read the comparison's figures, and what in them isn't alike."""
    lone = any(len(summary.runs) == 1 for summary in comparison.summaries)
    kinds = {run.memory.kind for summary in comparison.summaries for run in summary.runs if run.memory}
    memory = {
        "rss": "the process's resident memory, libraries included",
        "cuda_allocated": "the memory allocated on the GPU",
    }
    said = "Test split after the last epoch, mean ± standard deviation over n seeds"
    said += " (n = 1: no deviation). " if lone else ". "
    said += "Tokens/s counts real tokens, never padding; training time is training steps only"
    if kinds:
        said += f"; peak memory is {' or, on a GPU, '.join(memory[kind] for kind in sorted(kinds, reverse=True))}"
    paragraphs = [paragraph(f"{said}.")]
    if settings:
        named = ", ".join(SETTINGS[name] for name in settings)
        paragraphs.append(
            paragraph(strong("Not all rows were trained alike"), f": they differ in {named}, as Training says.")
        )
    return paragraphs + _elsewhere(comparison)


def _elsewhere(comparison: Comparison) -> list[Paragraph]:
    runs = [run for summary in comparison.summaries for run in summary.runs]
    others = sum(stats.Machine.of(run) != comparison.machine for run in runs)
    if not others or comparison.machine is None:
        return []
    said = f" and {count(comparison.machine.threads)} threads; {others} of {len(runs)} runs were made elsewhere."
    return [paragraph("Speed, memory and time are of the runs on ", code(comparison.machine.cpu), said)]


def hyperparameters(values: Mapping[str, Any], names: Iterable[str]) -> str | None:
    """Write the named hyperparameters as on the command line, None where there is none."""
    return ", ".join(f"{name}={value(values[name])}" for name in names if name in values) or None


def value(found: object) -> str:
    """Write a hyperparameter's value."""
    if isinstance(found, str):
        return found
    if found is None:
        return "none"
    if isinstance(found, list):
        return "+".join(map(value, found))
    return json.dumps(found, ensure_ascii=False)


def settings(summary: Summary, names: Iterable[str]) -> str | None:
    """Write the named training settings, None where there is none."""
    known = {name: getattr(summary.training, name) for name in names}
    return ", ".join(f"{SETTINGS[name]} {found}" for name, found in known.items() if found is not None) or None


def variant(summary: Summary, differing: Iterable[str]) -> str:
    """Name a summary by its method and the hyperparameters that tell it from others of that method."""
    return " ".join(filter(None, (summary.method, hyperparameters(summary.hyperparameters, differing))))


def moment(created_at: str) -> str:
    """A record's time to the minute; as it stands where it isn't ISO 8601."""
    try:
        return f"{datetime.fromisoformat(created_at).astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    except (ValueError, OverflowError):
        return created_at
