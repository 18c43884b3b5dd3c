"""What LoRA's alpha does: where accuracy peaks, where the validation loss turns up, and what can't be told apart."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from bench import stats
from bench.reporting import tables, words
from bench.reporting.answer import listed
from bench.reporting.model import Section, paragraph, strong
from bench.reporting.text import score

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from bench.reporting.layout import Layout
    from bench.reporting.model import Block
    from bench.stats import Summary, Verdict

Sweep = list["Summary"]


def section(layout: Layout) -> list[Section]:
    """LoRA's alpha, where the records hold several: by epoch, and by learning rate where they hold several of these."""
    found = stats.alpha_sweeps(layout.summaries)
    if not found:
        return []
    groups: dict[Hashable, list[Sweep]] = {}
    for sweep in found:
        groups.setdefault(_apart_from_rate(sweep[0]), []).append(sweep)
    blocks: list[Block] = []
    for sweeps in groups.values():
        sweeps.sort(key=lambda sweep: words.learning_rate(sweep[0]) or 0.0)
        blocks += _one(layout, sweeps[0]) if len(sweeps) == 1 else _several(layout, sweeps)
        blocks += [block for sweep in sweeps for block in _by_epoch(layout, sweep, named=len(found) > 1)]
    marks = f"{words.TURN} marks the first epoch whose mean loss is higher than the epoch before's."
    return [Section("LoRA's alpha", (*blocks, paragraph(f"Losses are in nats, means over n seeds. {marks}")))]


def _apart_from_rate(summary: Summary) -> Hashable:
    rest = {name: value for name, value in summary.hyperparameters.items() if name not in ("alpha", "learning_rate")}
    return json.dumps(rest, sort_keys=True), summary.training


def _one(layout: Layout, sweep: Sweep) -> list[Block]:
    """One learning rate: what the sweep can't say."""
    rate = words.learning_rate(sweep[0])
    told = f" ({rate:g})" if rate is not None else ""
    said = f"All of it is at one learning rate{told}. A larger alpha acts much like a larger learning rate"
    return [paragraph(f"{_peak(layout, sweep)} {_turned(sweep)} {said}, so this sweep can't tell the two apart.")]


def _several(layout: Layout, sweeps: Sequence[Sweep]) -> list[Block]:
    """Several learning rates: alpha by rate, and what follows."""
    peaks = [best for sweep in sweeps if (best := _best(sweep))]
    alphas = {str(best.hyperparameters["alpha"]) for best in peaks}
    where = [f"alpha {best.hyperparameters['alpha']} at {words.learning_rate(best):g}" for best in peaks]
    said = " Alpha scales what the adapter adds, much as a larger learning rate would: "
    said += "at one rate a sweep of alpha can't tell the two apart. "
    if peaks:
        moved = "at another rate another alpha is best" if len(alphas) > 1 else "the same alpha is best at each rate"
        said += f"By the means, {moved}: accuracy is highest with {listed(where)}."
    lead = strong("Alpha and the learning rate are confounded.")
    grid = f"Test accuracy by alpha and learning rate ({words.TOP} can't be told from the best of the comparison):"
    return [paragraph(lead, said), paragraph(grid), tables.rates(layout, sweeps)]


def _by_epoch(layout: Layout, sweep: Sweep, *, named: bool) -> list[Block]:
    blocks: list[Block] = []
    if named:
        place = layout.place(sweep[0])
        said = f" {_peak(layout, sweep)} {_turned(sweep)}"
        blocks.append(paragraph(strong(f"{layout.label(place, without='alpha')}."), said))
    blocks += [paragraph("Test accuracy, and validation loss by epoch:"), tables.losses(layout, sweep)]
    if any(summary.validation_loss for summary in sweep):
        blocks += [paragraph("Validation accuracy by epoch:"), tables.validation_accuracies(layout, sweep)]
    return blocks


def _best(sweep: Sweep) -> Summary | None:
    scored = [(found.mean, summary) for summary in sweep if (found := summary.accuracy)]
    return max(scored, key=lambda pair: pair[0])[1] if scored else None


def _peak(layout: Layout, sweep: Sweep) -> str:
    """Say at which alpha LoRA did best, whether that is the sweep's end, and what is known against the reference."""
    best = _best(sweep)
    if best is None or best.accuracy is None:
        return "No alpha has a result."
    end = ""
    if best is sweep[-1]:
        end = ", the largest that was tried: the peak may lie beyond it"
    elif best is sweep[0]:
        end = ", the smallest that was tried: the peak may lie below it"
    said = f"Mean accuracy is highest at alpha {best.hyperparameters['alpha']} ({score(best.accuracy.mean)}){end}."
    return said + _not_told(layout, sweep, best) + _against_reference(layout, sweep)


def _not_told(layout: Layout, sweep: Sweep, best: Summary) -> str:
    """Name what can't be told from a sweep's best, where that is the comparison's best too: else nothing is known."""
    top = layout.analysis.top
    if layout.place(best) != 0 or 0 not in top:
        return ""
    alphas = [str(s.hyperparameters["alpha"]) for s in sweep if s is not best and layout.place(s) in top]
    return f" It can't be told from {listed(alphas, 'or')}." if alphas else ""


def _against_reference(layout: Layout, sweep: Sweep) -> str:
    analysis = layout.analysis
    if analysis.reference is None or layout.summaries[analysis.reference] not in sweep:
        return ""
    alphas: dict[Verdict, list[str]] = {}
    for summary in sweep:
        difference = analysis.differences[layout.place(summary)]
        if difference:
            alphas.setdefault(difference.verdict, []).append(str(summary.hyperparameters["alpha"]))
    if not alphas:
        return ""
    reference = layout.summaries[analysis.reference].hyperparameters["alpha"]
    return f" Against alpha {reference}: {'; '.join(f'{verdict} at {listed(a)}' for verdict, a in alphas.items())}."


def _turned(sweep: Sweep) -> str:
    """Say at which alpha the validation loss turned up, and at which epoch."""
    known = [summary for summary in sweep if len(summary.validation_loss) > 1]
    turned = [
        f"{summary.hyperparameters['alpha']} (epoch {epoch})"
        for summary in known
        if (epoch := stats.turned_up(summary.validation_loss)) is not None
    ]
    if not known:
        return "Whether the validation loss turned up can't be told from fewer than two epochs."
    return f"The validation loss turned up at {f'alpha {listed(turned)}' if turned else 'no alpha'}."
