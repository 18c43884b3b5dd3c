"""README.md of a published folder and of an adapter: a head for machines, a text for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from huggingface_hub import DatasetCard, DatasetCardData, EvalResult, ModelCard, ModelCardData

from bench.reporting import markdown
from bench.reporting.layout import Layout
from bench.reporting.tables import FORGETTING
from bench.reporting.text import count, score, span
from bench.sharing import published

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bench.reporting.model import Table
    from bench.stats import Analysis, Estimate, Interval
    from bench.store.record import Record, Scores

TASK = "text-classification"
_METRICS = ["accuracy", "f1"]
_TAGS = ["peft-bench", "peft", "benchmark"]
_DATASET = """---
{{ card_data }}
---

# {{ title }}

{{ runs }} of parameter-efficient fine-tuning methods for text classification, compared by peft-bench.
[report.html](report.html) is the whole report, with intervals, paired differences and plots.
{% for heading, table in tables %}
## {{ heading }}

{{ table }}
{% endfor %}
Accuracy is of the test split: mean ± standard deviation over n seeds, and in brackets the 95% interval.
● marks methods that can't be told from the best.
{% if forgetting %}Forgetting is how much worse the backbone models ordinary text than without the method, in nats a
token.
{% endif %}
## What is in it

- `records`: a row for each run, with a column for each value. `record` is the whole record as JSON.
- `predictions`: a row for each run and test passage. `uid` is the run's. Those of the character n-gram baseline have a
  `uid` that begins with `baseline-`. `logp` is the logarithm of each style's probability, in the order of the record's
  `data_styles`.
{% if adapters %}- `models/`: a folder for each of {{ adapters }} adapters, named by its run's `uid`.
{% endif %}
The texts aren't here. `text_hash` is the first 16 hex digits of a text's SHA-256.

```python
from datasets import load_dataset

records = load_dataset("{{ where }}", "records", split="train")
predictions = load_dataset("{{ where }}", "predictions", split="test")
```
"""
_MODEL = """---
{{ card_data }}
---

# {{ name }}

An adapter for {{ backbone }}, trained on {{ data }}, that tells {{ styles | length }} classes of texts apart.

| Accuracy on the test split | |
| --- | ---: |
| of this adapter | {{ accuracy }} |
{% for name, value in rows %}| {{ name }} | {{ value }} |
{% endfor %}
The interval covers the chance in seeds and in test passages. The adapter is that of the run `{{ uid }}` of
[a study with peft-bench]({{ study }}).

Its outputs, in order: {{ styles | join(", ") }}.

```python
from methods import adapters
from transformers import AutoModelForSequenceClassification

backbone = AutoModelForSequenceClassification.from_pretrained("{{ load }}", num_labels={{ styles | length }})
model = adapters.load(backbone, "{{ uid }}")
```
{% if peft %}
peft loads it, too: `PeftModel.from_pretrained(backbone, "{{ uid }}")`.
{% endif %}"""


def dataset(
    title: str,
    tables: Sequence[tuple[str, Table]],
    runs: int,
    adapters: int,
    license_id: str,
    repository: str | None,
) -> str:
    """Return the card of a published folder, which may have a repository on the Hub."""
    data = DatasetCardData(
        license=license_id,
        task_categories=[TASK],
        pretty_name=title,
        tags=_TAGS,
        metrics=_METRICS,
        configs=[
            _config("records", "train", published.RECORDS, default=True),
            _config("predictions", "test", published.PREDICTIONS),
        ],
    )
    shown = [(markdown.escape(heading), markdown.table(table)) for heading, table in tables]
    where = repository or "path/to/this/folder"
    facts: dict[str, Any] = {"title": markdown.escape(title), "tables": shown, "adapters": adapters, "where": where}
    facts["forgetting"] = any(FORGETTING in table.columns for _, table in tables)
    counted = f"{count(runs)} {'run' if runs == 1 else 'runs'}"
    return str(DatasetCard.from_template(data, template_str=_DATASET, runs=counted, **facts))


def _config(name: str, split: str, path: str, **more: bool) -> dict[str, Any]:
    return {"config_name": name, "data_files": [{"split": split, "path": path}], **more}


@dataclass(frozen=True)
class Variant:
    """What is known of all runs of a variant: its name, their seeds, the mean of their accuracy, its 95% interval."""

    label: str
    seeds: tuple[int, ...]
    accuracy: Estimate
    interval: Interval | None


def variants(analyses: Iterable[Analysis]) -> dict[str, Variant]:
    """Return for each run that counts in a comparison, by its uid, the variant that it is of."""
    found: dict[str, Variant] = {}
    for analysis in analyses:
        layout = Layout(analysis)
        for place, summary in enumerate(layout.summaries):
            if summary.accuracy is not None:
                seeds = tuple(run.seed for run in summary.runs)
                variant = Variant(layout.label(place), seeds, summary.accuracy, analysis.accuracy[place])
                found |= {run.uid: variant for run in summary.runs}
    return found


def model(record: Record, scores: Scores, variant: Variant | None, *, peft: bool, study: str | None) -> str:
    """Return the card of a run's adapter. Its scores are the run's; of an older run its variant isn't known.

    `peft` tells that peft loads the adapter; `study` is the address of the published folder, where it has one.
    """
    data, on_hub = record.data, record.backbone.source == "hub"
    described = ModelCardData(
        base_model=record.backbone.name if on_hub else None,
        datasets=data.name if data.source == "hub" else None,
        library_name="peft" if peft else None,
        pipeline_tag=TASK,
        tags=_TAGS,
        metrics=_METRICS,
        model_name=f"{record.method}-{record.uid}",
        eval_results=_results(record, scores, variant, study),
    )
    card = ModelCard.from_template(
        described,
        template_str=_MODEL,
        name=markdown.escape(f"{variant.label if variant else record.method}, seed {record.seed}"),
        backbone=markdown.escape(record.backbone.name),
        load=record.backbone.name if on_hub else "BACKBONE",
        data=markdown.escape(data.name),
        uid=record.uid,
        styles=[markdown.escape(style) for style in data.styles],
        accuracy=score(scores.accuracy),
        rows=_over_seeds(variant) if variant else [],
        study=study or f"../../{published.CARD}",
        peft=peft,
    )
    return str(card)


def _over_seeds(variant: Variant) -> list[tuple[str, str]]:
    rows = [(f"mean over seeds {', '.join(map(str, variant.seeds))}", score(variant.accuracy.mean))]
    if variant.interval is not None:
        rows.append(("95% interval of that mean", f"{span((variant.interval.low, variant.interval.high))}%"))
    return rows


def _results(record: Record, scores: Scores, variant: Variant | None, study: str | None) -> list[EvalResult]:
    """Return what stands in the card's model-index: the run's scores, and its variant's over all seeds."""
    own = {"run": record.uid, "seed": record.seed}
    results: list[tuple[str, float, str, dict[str, Any]]] = [
        ("accuracy", scores.accuracy, "Accuracy of this adapter", own),
        ("f1", scores.macro_f1, "Macro-F1 of this adapter", own),
    ]
    if variant is not None:
        over: dict[str, Any] = {"seeds": list(variant.seeds), "standard_deviation": variant.accuracy.sd}
        over["interval_95"] = [variant.interval.low, variant.interval.high] if variant.interval else None
        results.append(("accuracy", variant.accuracy.mean, "Accuracy, mean over seeds", over))
    return [
        EvalResult(
            task_type=TASK,
            dataset_type=record.data.name,
            dataset_name=record.data.name,
            dataset_split="test",
            dataset_revision=record.data.revision,
            dataset_args={"fingerprint": record.data.fingerprint},
            metric_type=metric,
            metric_value=value,
            metric_name=title,
            metric_args=how,
            source_name="The study that it comes from" if study else None,
            source_url=study,
        )
        for metric, value, title, how in results
    ]
