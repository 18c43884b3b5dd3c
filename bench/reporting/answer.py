"""The report's first paragraph: which method to use, how sure that is, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.labels import label_noun
from bench.reporting.model import Paragraph, code, paragraph, strong
from bench.reporting.text import count, duration, score, size, span
from bench.reporting.words import BASELINE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from bench.reporting.layout import Layout
    from bench.reporting.model import Span
    from bench.stats import Analysis, Estimate, Summary, Verdict

NAMED = 5
"""A sentence names so many methods; the table below marks all."""
CHEAPER = 0.8
"""Another method is worth naming where it costs at most this share."""
ALIKE = 1.1
"""Of methods that cost up to so many times the least, the one with the highest mean is taken."""


VERDICTS: dict[Verdict, tuple[str, str]] = {
    "better": ("is better", "are better"),
    "equivalent": ("is within a point of it", "are within a point of it"),
    "no difference found": ("can't be told from it", "can't be told from it"),
    "worse": ("is worse", "are worse"),
}
"""What is said of one variant, and of several, beside the baseline; in this order."""


@dataclass(frozen=True)
class Limit:
    """What a reader may be short of, how it is measured (lower is better), and how it is written.

    `what` says after the figure what it is of; `plain` is a clause on one method's cost.
    """

    name: str
    cost: Callable[[Summary], Estimate | None]
    write: Callable[[float], str]
    plain: str
    what: str = ""


LIVE = Limit(
    "memory",
    lambda summary: summary.live_peak_bytes,
    size,
    "needs {} of tensors in a small training step",
    " of tensors",
)
PEAK = Limit("memory", lambda summary: summary.peak_bytes, size, "needs {} of memory")
TIME = Limit("training time", lambda summary: summary.train_s, duration, "trains in {}")
ADAPTER = Limit("adapter size", lambda summary: summary.adapter_bytes, size, "has an adapter of {}")


def answer(layout: Layout) -> Paragraph:
    """Say which method to use under which limit, how sure that is, and what the study can't tell."""
    analysis = layout.analysis
    scored = [place for place, summary in enumerate(layout.summaries) if summary.accuracy]
    if not scored:
        if not layout.summaries:
            return paragraph(strong("No run is tested yet."), " There are trials of searches, which are never tested.")
        return paragraph(strong("No run has a result."), " What failed stands below.")
    useful = [place for place in scored if analysis.above_majority[place]]
    if not useful:
        return paragraph(*_useless(layout, scored[0]), *_baseline(layout, scored), *_doubt(layout))
    tested = scored[0] in analysis.top
    top = [place for place in scored if place in analysis.top] if tested else scored[:1]
    return paragraph(
        *_lead(layout, top, scored),
        *_costs(layout, top),
        *_cheaper(layout, top, useful),
        *_baseline(layout, scored),
        *_doubt(layout),
    )


def accuracy(analysis: Analysis, place: int) -> str:
    """Write a variant's accuracy with its interval, or with its standard deviation where there is none."""
    estimate, interval = analysis.comparison.summaries[place].accuracy, analysis.accuracy[place]
    if estimate is None:
        raise ValueError(f"variant {place} has no result")
    if interval:
        return f"{score(estimate.mean)} (95% interval {span((interval.low, interval.high))}%)"
    seeds = f"n = {estimate.n} {'seed' if estimate.n == 1 else 'seeds'}"
    return score(estimate.mean) + (
        f" ± {100 * estimate.sd:.1f} ({seeds})" if estimate.sd is not None else f" ({seeds})"
    )


def listed(names: Sequence[str], conjunction: str = "and") -> str:
    """Write names as a list in a sentence, the first few of many; nothing where there is none."""
    if len(names) > NAMED:
        names = [*names[: NAMED - 1], f"{count(len(names) - NAMED + 1)} others"]
    return f" {conjunction} ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def _useless(layout: Layout, best: int) -> list[str | Span]:
    comparison = layout.analysis.comparison
    majority, noun = score(comparison.majority.accuracy), label_noun(comparison.newest.data.label)
    return [
        strong(f"No method is shown to beat always naming the most frequent {noun.one}, which scores {majority}."),
        *(" The highest is ", code(layout.label(best)), f", {accuracy(layout.analysis, best)}."),
    ]


def _lead(layout: Layout, top: Sequence[int], scored: Sequence[int]) -> list[str | Span]:
    """Say what is best, as surely as is known."""
    analysis, best = layout.analysis, layout.label(scored[0])
    noun = label_noun(analysis.comparison.newest.data.label)
    against = f"Always naming the most frequent {noun.one} scores {score(analysis.comparison.majority.accuracy)}."
    right = f"{accuracy(analysis, scored[0])} of the test passages right"
    if len(scored) == 1:
        return [strong(f"{best} gets {right}."), f" {against} Nothing else has a result to compare it with."]
    if scored[0] not in analysis.top:
        highest = strong(f"Highest mean accuracy: {best}, {accuracy(analysis, scored[0])}.")
        return [highest, f" {against} Whether others are worse can't be told without the predictions."]
    if len(top) == 1:
        return [strong(f"Use {best}: it gets {right}, more than any other."), f" {against}"]
    others = [layout.label(place) for place in top[1:]]
    apart = "any other" if len(top) == len(scored) else listed(others, "or")
    winner = f"There is no single winner: {best} has the highest mean, {right}, but can't be told from {apart}."
    return [strong(winner), f" {against}"]


def _costs(layout: Layout, top: Sequence[int]) -> list[str | Span]:
    """Say which of the best to take under each limit."""
    best, *others = top
    chosen = {limit.name: (limit, _saving(layout, limit, [best], others)) for limit in _limits(layout, top)}
    if all(place is None for _, place in chosen.values()):
        return [*_plain_costs(layout, best), *([" None of the others costs clearly less."] if others else [])]
    told = [(limit, best if place is None else place) for limit, place in chosen.values()]
    # the best may have run on another machine only, where times say nothing here
    advice = [(limit, place) for limit, place in told if _cost(layout, limit, place) is not None]
    return _advice(layout, best, advice, " Of these, take ")


def _plain_costs(layout: Layout, place: int) -> list[str | Span]:
    costs = ((limit, _cost(layout, limit, place)) for limit in _limits(layout, [place]))
    said = listed([limit.plain.format(limit.write(cost)) for limit, cost in costs if cost is not None])
    return [" ", code(layout.label(place)), f" {said}."] if said else []


def _cheaper(layout: Layout, top: Sequence[int], useful: Sequence[int]) -> list[str | Span]:
    """Say what costs clearly less than all of the best under a limit."""
    others = [place for place in useful if place not in top]
    chosen = ((limit, _saving(layout, limit, top, others)) for limit in _limits(layout, useful))
    found = [(limit, place) for limit, place in chosen if place is not None]
    return _advice(layout, top[0], found, " Cheaper, at a lower accuracy: ", interval=True)


def _saving(layout: Layout, limit: Limit, places: Iterable[int], others: Iterable[int]) -> int | None:
    """The one of the others that costs clearly less than all of the places, None where there is none."""
    ours, theirs = ([(cost, p) for p in some if (cost := _cost(layout, limit, p))] for some in (places, others))
    if not ours or not theirs or min(theirs)[0] > CHEAPER * min(ours)[0]:
        return None
    return min(place for cost, place in theirs if cost <= ALIKE * min(theirs)[0])


def _advice(
    layout: Layout, best: int, chosen: Sequence[tuple[Limit, int]], opening: str, *, interval: bool = False
) -> list[str | Span]:
    """Say which method to take where what is short, with its accuracy and with its cost instead of the best one's."""
    limits: dict[int, list[Limit]] = {}
    for limit, place in chosen:
        limits.setdefault(place, []).append(limit)
    parts: list[str | Span] = []
    for place, short in limits.items():
        found = layout.summaries[place].accuracy
        right = accuracy(layout.analysis, place) if interval else score(found.mean) if found else ""
        said = listed([f"{limit.name} ({_against(layout, limit, place, best)})" for limit in short], "or")
        named = "" if place == best else f", {right},"
        parts += ["; " if parts else opening, code(layout.label(place)), f"{named} where {said} is limited"]
    return [*parts, "."] if parts else []


def _against(layout: Layout, limit: Limit, place: int, best: int) -> str:
    own, other = _cost(layout, limit, place), _cost(layout, limit, best)
    texts = [limit.write(cost) for cost in (own, other) if cost is not None]
    return " instead of ".join(dict.fromkeys(texts)) + limit.what


def _limits(layout: Layout, places: Iterable[int]) -> list[Limit]:
    """The limits, memory by live tensors where every record tells them: the same figure for all."""
    told = all(_cost(layout, LIVE, place) is not None for place in places)
    return [LIVE if told else PEAK, TIME, ADAPTER]


def _cost(layout: Layout, limit: Limit, place: int) -> float | None:
    found = limit.cost(layout.summaries[place])
    return found.mean if found else None


def _baseline(layout: Layout, scored: Sequence[int]) -> list[str | Span]:
    """Say which variants beat logistic regression on character n-grams, which costs next to nothing."""
    found, against = layout.analysis.comparison.baseline, layout.analysis.against_baseline
    if found is None:
        return []
    name, fitted = f"ogistic regression on {BASELINE}", f"is fitted in {duration(found.fit_s)}"
    if against is None:
        scores = f" L{name} gets {score(found.accuracy)} and {fitted}."
        return [f"{scores} Whether a method beats it can't be told without the predictions."]
    interval = against.accuracy
    right = score(found.accuracy) + (f" (95% interval {span((interval.low, interval.high))}%)" if interval else "")
    groups: dict[Verdict, list[str]] = {verdict: [] for verdict in VERDICTS}
    for place in scored:
        if difference := against.differences[place]:
            groups[difference.verdict].append(layout.label(place))
    told = [
        f"{'all' if len(group) == len(scored) > 1 else listed(group)} {VERDICTS[verdict][len(group) > 1]}"
        for verdict, group in groups.items()
        if group
    ]
    verdicts = ", and ".join(filter(None, (", ".join(told[:-1]), *told[-1:])))
    if groups["better"]:
        return [f" L{name} gets {right} and {fitted}: {verdicts}."]
    return [" ", strong(f"No method is shown to beat l{name}"), f", which gets {right} and {fitted}: {verdicts}."]


def _doubt(layout: Layout) -> list[str]:
    """Say what the study can't tell."""
    analysis = layout.analysis
    seeds = max(len(summary.runs) for summary in layout.summaries)
    said = ""
    if analysis.detectable is not None:
        tested = f"With {_number(seeds, 'seed')} and {count(analysis.comparison.newest.data.sizes.test)} test passages"
        points = f"{100 * analysis.detectable:.1f} points"
        said = f" {tested} the study would most likely have found a difference of {points} or more"
        said += ", but it may miss a smaller one."
    if seeds == 1:
        said += " There is only one seed, so the spread over seeds is unknown, and no interval includes it."
    return [said] if said else []


def _number(value: int, noun: str) -> str:
    return f"{value} {noun}" if value == 1 else f"{count(value)} {noun}s"
