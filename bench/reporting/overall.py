"""What holds over all tasks of a store: mean ranks, tasks won, normalised accuracy, and which tasks disagree."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.reporting import words
from bench.reporting.answer import listed
from bench.reporting.model import Cell, Column, Row, Section, Table, Unit, code, paragraph, strong
from bench.reporting.text import clean, number, span

if TYPE_CHECKING:
    from bench.reporting.model import Block, Paragraph, Span
    from bench.stats import Average, Contender, Overall

FEW = 6
"""With fewer tasks than this, not even a method that wins all of them can be told from one that loses all."""
SHOWN = 15
"""So many methods stand in the table; the others are folded away."""
COLUMNS = 6
"""So many methods have a column in the table of tasks."""
_WORDS = {2: "Two", 3: "Three", 4: "Four", 5: "Five"}


def section(found: Overall, *, draw: bool) -> Section:
    """Everything that holds over all tasks; `draw` draws the performance profiles."""
    blocks: list[Block] = [_answer(found), *_few(found)]
    if found.contenders:
        blocks += [ranking(found), *_reading(found), *_pictures(found, draw), *_agreement(found), tasks(found)]
    blocks += _others(found)
    return Section(title(found), tuple(blocks))


def title(found: Overall) -> str:
    """What the section is called, and its table where that stands alone."""
    return f"Over all {len(found.tasks)} tasks"


def label(contender: Contender) -> str:
    """Name a method as within the tasks."""
    named = words.variant(contender.summary, contender.hyperparameters)
    return " ".join(filter(None, (named, words.settings(contender.summary, contender.settings))))


def names(found: Overall) -> list[str]:
    """A short name for each task."""
    return words.tasks([analysis.comparison for analysis in found.tasks])


def ranking(found: Overall) -> Table:
    """Every method that has a result on all tasks, by its mean rank, with its cost."""
    columns = (
        Column("Method"),
        Column("Mean rank", Unit.NUMBER),
        Column("Tasks won", Unit.SCORE),
        Column("Among the best", Unit.COUNT),
        Column("Normalised accuracy", Unit.SCORE),
        Column("Trainable", Unit.SHARE),
        Column("Train time", Unit.TIMES),
        Column("Live tensors", Unit.TIMES),
    )
    trainable = found.mean(lambda summary: summary.trainable_share)
    train_s = found.times_the_least(lambda summary: summary.train_s)
    live = found.times_the_least(lambda summary: summary.live_peak_bytes)
    rows = tuple(
        Row(
            (
                Cell(label(contender), mark=f" {words.TOP}" if place in found.indistinct else ""),
                _average(found.mean_ranks[place]),
                _average(found.won[place]),
                _among_best(found, place),
                _average(found.normalised_means[place]),
                *(Cell(trainable[place]), Cell(train_s[place]), Cell(live[place])),
            ),
            variant=clean(label(contender)),
        )
        for place, contender in enumerate(found.contenders)
    )
    if len(rows) <= SHOWN:
        return Table(columns, rows)
    return Table(columns, rows, SHOWN, f"{len(rows) - SHOWN} more methods")


def tasks(found: Overall) -> Table:
    """Each task with the accuracies of the first few methods, and how far its order is that of the other tasks."""
    first = range(min(COLUMNS, len(found.contenders)))
    named = [label(found.contenders[place]) for place in first]
    columns = (
        Column("Task"),
        *(Column(name, Unit.SCORE, variant=clean(name)) for name in named),
        Column("Majority class", Unit.SCORE),
        Column("Agreement", Unit.NUMBER),
    )
    rows = tuple(
        Row(
            (
                Cell(name),
                *(_accuracy(found, task, place) for place in first),
                Cell(found.tasks[task].comparison.majority.accuracy),
                Cell(found.agreement[task]),
            )
        )
        for task, name in enumerate(names(found))
    )
    return Table(columns, rows)


def _average(found: Average | None) -> Cell:
    if found is None:
        return Cell()
    return Cell(found.mean, interval=(found.interval.low, found.interval.high) if found.interval else None)


def _among_best(found: Overall, place: int) -> Cell:
    number = found.among_best(place)
    return Cell() if number is None else Cell(number, mark=f" of {len(found.tasks)}")


def _accuracy(found: Overall, task: int, place: int) -> Cell:
    mark = f" {words.TOP}" if found.contenders[place].places[task] in found.tasks[task].top else ""
    return Cell(float(found.accuracies[task, place]), mark=mark)


def _answer(found: Overall) -> Paragraph:
    """Say which method does best over all tasks, and how sure that is."""
    if not found.contenders:
        return paragraph(strong("No method has a result on every task."), " So none can be ranked over all of them.")
    best, *others = (label(contender) for contender in found.contenders)
    rank = found.mean_ranks[0]
    if not others:
        return paragraph(strong(f"Only {best} has a result on every task."), " So there is nothing to rank it with.")
    lead = f"{best} has the best mean rank over all {len(found.tasks)} tasks, {number(rank.mean)}"
    if rank.interval:
        lead += f" (95% interval {span((rank.interval.low, rank.interval.high), Unit.NUMBER)})"
    alike = [label(found.contenders[place]) for place in sorted(found.indistinct) if place]
    if not alike:
        apart = "Over tasks like these, it is shown to be better than every other method."
    else:
        named = "any other" if len(alike) == len(others) else listed(alike, "or")
        apart = f"Over tasks like these, it can't be told from {named}."
    return paragraph(strong(f"{lead}."), f" {apart}")


def _few(found: Overall) -> list[Paragraph]:
    """Say in plain words that few tasks say little."""
    number, of = found.number_of_units, "sets of texts" if found.drawn == "texts" else "backbones"
    if number >= FEW:
        return []
    counted = "tasks" if number == len(found.tasks) else of
    said = f"{_WORDS[number]} {counted} say little."
    rest = " The order of the methods may well be another on the next task."
    if number < len(found.tasks):
        rest = f" The {len(found.tasks)} tasks are on {number} {of}.{rest}"
    return [paragraph(strong(said), rest, tone="warning")]


def _reading(found: Overall) -> list[Paragraph]:
    """How the table is to be read."""
    drawn = "The 95% intervals in brackets cover the chance in which tasks were chosen"
    if found.number_of_units < len(found.tasks):
        drawn += "; tasks on the same texts are drawn together"
    said = [
        paragraph(
            f"{words.TOP} can't be told from the best mean rank. In each task, methods are ranked by mean accuracy; "
            f"1 is the best. {drawn}. Tasks won: the share of tasks with the highest accuracy. Among the best: on how "
            "many tasks a method can't be told from the best one there. Normalised accuracy: 0% is the majority class, "
            "100% the most accurate method of the task."
        ),
        paragraph(
            "Train time and live tensors are multiples of the cheapest method's on the same task (geometric mean); "
            "the trainable share is a mean."
        ),
    ]
    unscaled = [name for name, known in zip(names(found), found.scaled.tolist(), strict=True) if not known]
    if unscaled:
        said.append(paragraph(f"Left out of it: {listed(unscaled)}, where no method beats the majority class."))
    varying = [f"{label(c)} ({', '.join(map(_setting, c.varying))})" for c in found.contenders if c.varying]
    if varying:
        said.append(paragraph(f"Between tasks, other settings of these methods differ: {listed(varying)}."))
    return said


def _setting(name: str) -> str:
    return words.SETTINGS.get(name, name)


def _pictures(found: Overall, draw: bool) -> list[Block]:
    if not draw:
        return []
    from bench.reporting.plots import profile  # matplotlib takes a second to import

    drawn = profile.picture(found, [label(contender) for contender in found.contenders])
    return [drawn] if drawn else []


def _agreement(found: Overall) -> list[Paragraph]:
    """Say how far the tasks agree, and which don't."""
    said: list[str | Span] = [strong("Do the tasks agree?")]
    if found.concordance is not None:
        said.append(
            f" Kendall's W is {number(found.concordance)}: 1 means the same order of methods on every task, "
            "0 no common order."
        )
    named, best = names(found), label(found.contenders[0])
    worse = listed([named[task] for task in found.disagreeing])
    if worse:
        said += [" ", code(best), f" is shown to be worse than the best on {worse}."]
    elif all(analysis.top for analysis in found.tasks):
        said += [" ", code(best), " isn't shown to be worse than the best on any task."]
    against = [named[task] for task, agreement in enumerate(found.agreement) if agreement is not None and agreement < 0]
    if against:
        said.append(f" The order is rather the reverse of the other tasks' on {listed(against)}.")
    said.append(
        " Agreement is Kendall's τ with the order of the other tasks, from −1 to 1. "
        f"{words.TOP} can't be told from the best of that task."
    )
    return [paragraph(*said)]


def _others(found: Overall) -> list[Table]:
    """Name the methods that aren't ranked, and the tasks that they have no result on."""
    named = names(found)
    rows = tuple(
        Row((Cell(label(other)), Cell(listed([name for t, name in enumerate(named) if t not in other.places]))))
        for other in found.others
    )
    what = "1 method isn't ranked: it has" if len(rows) == 1 else f"{len(rows)} methods aren't ranked: they have"
    columns = (Column("Not ranked"), Column("No result on", limit=200))
    return [Table(columns, rows, 0, f"{what} no result on some task")] if rows else []
