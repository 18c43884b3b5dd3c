"""The report's sentences and names: what was compared, and what it means."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from bench import stats
from bench.labels import label_noun
from bench.reporting.model import Paragraph, Span, code, paragraph, strong
from bench.reporting.text import count, told_apart
from bench.store.record import alone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from bench.stats import Analysis, Chain, Comparison, Machine, Summary

PRESETS = {
    "full": "GPT-2 (124M) on AuthorMix, the comparison that this project is about",
    "demo": "the small backbone and the corpus that ship with the project; not GPT-2 124M and not AuthorMix",
    "custom": "a backbone or texts chosen on the command line",
}
MAJORITY, BASELINE = "majority class", "character n-grams"
"""The rows of what no method is needed for."""
TURN = "▲"
TOP = "●"
SOURCES = {
    "hub": "pretrained, from the Hugging Face Hub",
    "local": "from a local folder",
    "embedded": "a small GPT-2 pretrained for this project",
    "random": "untrained weights",
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
    "tested_epoch": "tested epoch",
    "selected_by": "best epoch by",
}


def heading(comparison: Comparison, apart: Sequence[str] = ()) -> str:
    """Name what was compared; `apart` holds what more tells it from others: "backbone", "splits" or "train size"."""
    record = comparison.newest
    backbone, splits = record.backbone, record.data
    weights = "random weights" if backbone.source == "random" else backbone.source
    revision = f" {backbone.revision[:10]}" if "backbone" in apart else ""
    size = f", {count(splits.sizes.train)} train passages"
    fingerprint = f" ({splits.fingerprint[:10]}{size})" if "splits" in apart else size if "train size" in apart else ""
    return f"{record.preset}: {backbone.name} ({weights}{revision}) on {splits.name}{fingerprint}"


def differences(found: Sequence[Comparison]) -> list[str]:
    """Name what tells the comparisons apart, among preset, backbone, splits and, where it isn't these, train size."""
    newest = [comparison.newest for comparison in found]
    aspects: dict[str, set[tuple[str, ...]]] = {
        "preset": {(run.preset,) for run in newest},
        "backbone": {(run.backbone.name, run.backbone.source, run.backbone.revision) for run in newest},
        "splits": {(comparison.texts,) for comparison in found},
    }
    by_size = len({stats.whole_task(comparison) for comparison in found}) < len(found)
    return [aspect for aspect, values in aspects.items() if len(values) > 1] + ["train size"] * by_size


def headings(found: Sequence[Comparison]) -> list[str]:
    """A heading for each comparison that tells it from the others."""
    apart = differences(found)
    return [heading(comparison, apart) for comparison in found]


def tasks(found: Sequence[Comparison]) -> list[str]:
    """A short name for each comparison: its texts, its backbone, or both; its heading where these aren't enough."""
    newest = [comparison.newest for comparison in found]
    texts, backbones = [run.data.name for run in newest], [run.backbone.name for run in newest]
    both = [f"{data} · {backbone}" for data, backbone in zip(texts, backbones, strict=True)]
    return next((names for names in (texts, backbones, both) if len(set(names)) == len(found)), headings(found))


def introduction(comparison: Comparison) -> list[Paragraph]:
    """Say which preset it is and what that means, and warn of a backbone never trained and of what the texts lack."""
    record = comparison.newest
    backbone, data = record.backbone, record.data
    labels = f"{count(len(data.styles))} {label_noun(data.label).many}"
    said = [
        paragraph(
            *("Preset ", strong(record.preset), f": {PRESETS[record.preset]}. Backbone ", code(backbone.name)),
            *(f" ({backbone.source}: {SOURCES[backbone.source]}); splits ", code(data.name)),
            f" ({data.source}), {labels}, {count(data.sizes.test)} test passages.",
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
    said += [paragraph(note, tone="warning") for note in data.notes or ()]
    return said


def paired(analysis: Analysis, reference: str) -> list[Paragraph]:
    """How to read the differences from the reference, and which the study could have found."""
    method = "and their correlation (max-t)" if analysis.max_t else "(Holm)"
    said = [
        paragraph(
            *(
                "Accuracy minus that of ",
                code(reference),
                ", on the same seeds and test passages, in points. ",
            ),
            "The 95% interval of each difference by itself is in brackets. Better and worse use the adjusted p, "
            f"which corrects for the number of rows {method}. "
            "Equivalent: the whole interval lies within ±1 point.",
        )
    ]
    if analysis.detectable is not None:
        said.append(
            paragraph(
                strong(f"The study would have found a difference of {100 * analysis.detectable:.1f} points"),
                " four times out of five. No difference found doesn't mean that there is none.",
            )
        )
    return said


def chain(found: Chain, label: Callable[[int], str], members: str, counted: str) -> Paragraph:
    """Say how many groups of `members` are told apart; `counted` says what the verdicts hold."""
    tested = f"by p adjusted for all {count(found.differences)} differences between two {members} (Holm), {counted}."
    if len(found.places) < 2:
        return paragraph(strong(f"No two {members} are told apart"), f", {tested}")
    groups = strong(f"{count(len(found.places))} groups of {members} are told apart:")
    said = [groups, " ", *row(found.places, label), f". Each is better than the next, {tested}"]
    if len(found.members) > len(found.places):
        said.append(" Each of the others can't be told from one of these at least.")
    if found.floor is not None and found.members.index(found.floor) > 1:
        said += [" Among those whose mean is above that of ", code(label(found.floor))]
        above = [f", there are {count(len(found.above))}: ", *row(found.above, label), "."]
        said += above if len(found.above) > 1 else [", no two are."]
    return paragraph(*said)


def row(places: Sequence[int], label: Callable[[int], str]) -> list[str | Span]:
    """Write the links of a chain, the best first."""
    return [part for place in places for part in (" > ", code(label(place)))][1:]


def metrics(summaries: Iterable[Summary]) -> Paragraph:
    """Say what the further metrics are, and which way is better."""
    rarer = {run.quality.test.rarer_style for summary in summaries for run in summary.runs if run.quality}
    said: list[str | Span] = ["On the test split after the last epoch, mean ± standard deviation over n seeds. "]
    for style in filter(None, rarer):
        said += ["F1, ROC AUC and average precision are of ", code(style), ", the rarer in the train split. "]
    said.append(
        "Calibration error is how far the probability of the prediction lies from its accuracy, on average over 15 "
        "bins of equal width; log loss is the mean cross-entropy in nats. Of these two, lower is better."
    )
    return paragraph(*said)


def from_baseline() -> Paragraph:
    """How to read the differences from the classical baseline."""
    return paragraph(
        "Accuracy minus that of ",
        strong(BASELINE),
        ", on the same test passages, in points. The 95% interval of each difference by itself is in brackets, and "
        "covers the chance in the variant's seeds and in test passages. Better and worse use the adjusted p, which "
        "corrects for the number of rows (Holm). Equivalent: the whole interval lies within ±1 point.",
    )


def baselines(comparison: Comparison) -> list[Paragraph]:
    """Say what the rows of the baselines are."""
    style, ngrams, data = comparison.majority.style, comparison.baseline, comparison.newest.data
    said = [
        paragraph(
            "The row ",
            strong(MAJORITY),
            f" is the baseline that always names the train split's most frequent {label_noun(data.label).one}, ",
            code(told_apart([style, *data.styles], limit=80)[style]),
            ".",
        )
    ]
    if ngrams is not None:
        size = data.sizes.train
        part = "" if ngrams.passages == size else f" It was fitted to {count(ngrams.passages)} of {count(size)} train "
        part += "passages, each style keeping its share." if part else ""
        said.append(
            paragraph(
                "The row ",
                strong(BASELINE),
                " is logistic regression on the frequencies of 2 to 5 characters within words, fitted once to the "
                f"train split; C = {ngrams.C:g} did best on validation. Its train time includes that choice, and its "
                f"interval covers the chance in test passages.{part}",
            )
        )
    return said


def elsewhere(comparison: Comparison) -> tuple[list[Paragraph], list[Machine]]:
    """Say of which runs speed, memory and time are where not of all; and name the other machines that have some."""
    runs = [run for summary in comparison.summaries for run in summary.runs]
    counted = Counter(stats.Machine.of(run) for run in runs if alone(run))
    here = comparison.machine
    others = [found for found, _ in counted.most_common() if found != here]
    said = [] if counted.total() == len(runs) else [_timed(comparison, counted.total(), len(runs))]
    if others and here is not None:
        rest = f"{counted.total() - counted[here]} of {counted.total()} runs"
        made = f"; {rest} were made on other machines and are listed apart:"
        said.append(paragraph("Speed, memory and time are of the runs on ", code(machine(here)), made))
    return said, others


def _timed(comparison: Comparison, timed: int, runs: int) -> Paragraph:
    """Say that runs beside others have times that compare with nothing, and how many seeds are left of each variant."""
    shared = "Runs that shared the machine with others have speed, memory and time that compare with nothing. "
    if any(run.speed is None for summary in comparison.summaries for run in summary.runs if run.quality):
        shared = "Runs that shared the machine or one pass with others have no speed, memory and time that compare. "
    if not timed:
        return paragraph(f"{shared}All {count(runs)} did, so these figures are left out.")
    seeds = sorted({len(summary.timed) for summary in comparison.summaries if summary.runs})
    each = " to ".join(dict.fromkeys(map(count, (seeds[0], seeds[-1]))))
    noun = "seed" if seeds[-1] == 1 else "seeds"
    left = f"These figures are of the {count(timed)} of {count(runs)} runs that had it to themselves"
    return paragraph(f"{shared}{left}: {each} {noun} a variant.")


def machine(found: Machine) -> str:
    """Name a machine by what its speed depends on."""
    return f"{found.gpu or found.cpu}, {count(found.threads)} {'thread' if found.threads == 1 else 'threads'}"


def hyperparameters(values: Mapping[str, Any], names: Iterable[str]) -> str | None:
    """Write the named hyperparameters as on the command line, None where there is none."""
    return ", ".join(f"{name}={stats.written(values[name])}" for name in names if name in values) or None


def settings(summary: Summary, names: Iterable[str]) -> str | None:
    """Write the named training settings, None where there is none."""
    known = {name: getattr(summary.training, name) for name in names}
    return ", ".join(f"{SETTINGS[name]} {found}" for name, found in known.items() if found is not None) or None


def variant(summary: Summary, differing: Iterable[str]) -> str:
    """Name a summary by its method and the hyperparameters that tell it from others of that method."""
    return " ".join(filter(None, (summary.method, hyperparameters(summary.hyperparameters, differing))))


def alpha(summary: Summary) -> float:
    """LoRA's alpha, to sort by."""
    return float(summary.hyperparameters["alpha"])


def learning_rate(summary: Summary) -> float | None:
    """The learning rate, which is a hyperparameter or a training setting; None where it is no number."""
    rate = summary.hyperparameters.get("learning_rate", summary.training.learning_rate)
    return float(rate) if isinstance(rate, (int, float)) else None


def moment(created_at: str) -> str:
    """A record's time to the minute; as it stands where it isn't ISO 8601."""
    try:
        return f"{datetime.fromisoformat(created_at).astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    except (ValueError, OverflowError):
        return created_at
