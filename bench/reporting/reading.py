"""How a report's tables are to be read: what their figures are of, and what in them isn't alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.reporting import words
from bench.reporting.answer import listed
from bench.reporting.model import Paragraph, paragraph, strong
from bench.store.metrics import METRICS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.reporting.layout import Layout
    from bench.stats import Analysis, Interval, Summary

FEW_DOCUMENTS = 10
"""With fewer documents the intervals hold less often than they say (docs/statistics.md)."""

FEW_DEGREES, MANY_VARIANTS = 2.0, 20
"""Where so many variants differ so much in what seeds do, 7% of studies hold a false better or worse instead of 5%."""


def reading(layout: Layout) -> list[Paragraph]:
    """How to read the comparison's figures, and what in them isn't alike."""
    analysis = layout.analysis
    said = [
        paragraph(_scores(analysis)),
        *_spread(layout),
        *_few_documents(analysis),
        paragraph(_costs(layout.summaries)),
    ]
    if layout.shown:
        order = "Sorted by the lower end of the interval. Methods on a Pareto front come first; most others are folded."
        said.insert(0, paragraph(order))
    if layout.settings:
        named = ", ".join(words.SETTINGS[name] for name in layout.settings)
        said.append(
            paragraph(strong("Not all rows were trained alike"), f": they differ in {named}, as Training says.")
        )
    if analysis.missing:
        said.append(
            paragraph("Some predictions couldn't be read, so the figures that need them are missing. See What failed.")
        )
    return said


def _scores(analysis: Analysis) -> str:
    said = f"{words.TOP} can't be told from the best. " if analysis.top else ""
    rules = {summary.training.tested_epoch for summary in analysis.comparison.summaries}
    epoch = "last epoch" if rules <= {"last"} else "epoch that was best on the validation split"
    chosen = sorted({by for summary in analysis.comparison.summaries if (by := summary.training.selected_by)})
    epoch += f", by {listed([METRICS[name].noun for name in chosen])}," if chosen and len(rules) < 2 else ""
    epoch = epoch if len(rules) < 2 else "last epoch or, where Training says best, the one best on the validation split"
    said += f"Accuracy and macro-F1 are of the test split after the {epoch}: mean ± standard deviation over n seeds"
    if any(analysis.accuracy):
        given = "passages of one document counted together" if analysis.documents else "given these passages"
        said += f", and in brackets the 95% interval, which covers the chance in seeds and in test passages ({given})"
    lone = any(len(summary.runs) == 1 for summary in analysis.comparison.summaries)
    return said + (". Where n = 1 there is no deviation, and the interval holds for that seed only." if lone else ".")


def _spread(layout: Layout) -> list[Paragraph]:
    """Say whose runs tell how far a seed moves an accuracy, and how much that is worth."""
    shared = layout.analysis.shared
    if shared is None:
        own = any(interval and len(summary.runs) > 1 for summary, interval in _with_intervals(layout))
        return [paragraph("The spread over seeds of each variant is estimated from its own runs alone.")] if own else []
    worth = max(1, round(shared.degrees))
    said = [
        paragraph(
            f"The spread over seeds is estimated from {shared.variants} variants together: "
            f"{100 * shared.sd:.1f} points (standard deviation). For each variant this is worth as much as "
            f"{worth} more {'seed' if worth == 1 else 'seeds'}."
        )
    ]
    if shared.degrees < FEW_DEGREES and shared.variants >= MANY_VARIANTS:
        said.append(
            paragraph(
                strong("Some variants vary between seeds many times as much as others."),
                " Among so many variants a false better or worse is a little likelier than 5%. More seeds help.",
                tone="warning",
            )
        )
    if shared.outlying:
        named = listed([layout.label(place) for place in shared.outlying])
        said.append(
            paragraph(
                strong(f"Between seeds, {named} vary much more than the others."),
                " Their spread is estimated from their own runs alone. A run may have failed to learn. Others may vary "
                "as much without showing it yet: confirm a surprising difference with more seeds.",
                tone="warning",
            )
        )
    return said


def _few_documents(analysis: Analysis) -> list[Paragraph]:
    """Warn where the test split is from too few documents for intervals to hold."""
    if analysis.documents is None or analysis.documents >= FEW_DOCUMENTS:
        return []
    said = strong(f"The test passages are from {analysis.documents} documents only.")
    return [
        paragraph(
            said, " That is too few to know how much documents differ: don't trust small differences.", tone="warning"
        )
    ]


def _with_intervals(layout: Layout) -> Iterator[tuple[Summary, Interval | None]]:
    return zip(layout.summaries, layout.analysis.accuracy, strict=True)


def _costs(summaries: Sequence[Summary]) -> str:
    kinds = {run.memory.kind for summary in summaries for run in summary.runs if run.memory}
    memory = {
        "rss": "the process's resident memory, interpreter and libraries included",
        "cuda_allocated": "the memory allocated on the GPU",
    }
    said = "Tokens/s counts real tokens, never padding; training time is training steps only"
    if kinds:
        said += f"; peak memory is {' or, on a GPU, '.join(memory[kind] for kind in sorted(kinds, reverse=True))}"
    if any(run.compute for summary in summaries for run in summary.runs):
        said += "; live tensors are the most that tensors took in one fixed small training step, alike on any machine"
    if any(summary.forgetting for summary in summaries):
        said += (
            ". Forgetting is how much worse the backbone models ordinary text than without the method, in nats a token"
        )
    if any(summary.train_joules for summary in summaries):
        said += ". Energy is what the device took in training steps, as it tells itself"
    return f"{said}."
