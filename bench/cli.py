"""The commands: parse, call, print; no logic."""

from __future__ import annotations

import json
import re
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import typer
from typer.exceptions import TyperException

import methods
from bench import console
from bench.errors import UsageError, refusal
from bench.execution import interrupts
from bench.machine import streams
from bench.reporting.text import clean_lines
from bench.spec import CORE, expand, renamed
from bench.store.metrics import METRICS
from methods import MethodError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench import study, studyfile
    from bench.data import DataOptions

EXIT_RUNS_FAILED, EXIT_USAGE = 1, 2
EXIT_CHANGED = 1

app = typer.Typer(
    help="Compare parameter-efficient fine-tuning methods for text classification.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
)

_CORE = ",".join(CORE)

RUN_EXAMPLES = """Examples:

python -m bench run --preset demo

python -m bench run --methods lora,ia3 --seeds 0,1,2,3,4

python -m bench run --methods core,orthogonal --preset demo

python -m bench run --methods lora --set lora.alpha=8,32,128 --set lora.r=4,8 --dry-run

python -m bench run --preset demo --methods all --jobs auto

python -m bench run --preset demo --engine slurm --workers 8 --engine-set partition=gpu --engine-set time=60

python -m bench run --data my-texts/ --category speech,novel --epochs 5

python -m bench run study.yaml --set lora.r=4,16
"""


DATA_EXAMPLES = """Examples:

python -m bench data my-texts/

python -m bench data pairs.csv --text question1,question2 --label is_duplicate
"""

TUNE_EXAMPLES = """Examples:

python -m bench tune --preset demo

python -m bench tune --methods lora,ia3,head --trials 8 --seeds 1,2,3

python -m bench tune --methods core --budget 30m --search-seeds 0,100

python -m bench tune --methods lora --space lora.alpha=4..256:log --space lora.r=2..64:log --dry-run

python -m bench tune study.yaml --trials 8 --select-metric macro_f1
"""


CHECK_EXAMPLES = """Example:

python -m bench check lora
"""


def _names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(part.strip() for part in text.split(",") if part.strip())


def _seeds(text: str, option: str = "--seeds") -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in _names(text) or ())
    except ValueError:
        raise UsageError(f"{option} {text}: expected whole numbers separated by commas, e.g. 0,1,2") from None


def _jobs(text: str) -> int | Literal["auto"]:
    if text == "auto":
        return "auto"
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f"--jobs {text}: a number from 1 up, or auto")
    return int(text)


def _duration(text: str | None, option: str = "--timeout") -> float | None:
    """Read seconds, or a number with its unit."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text.strip())
    seconds = float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]] if found else 0
    if seconds <= 0:
        raise UsageError(f"{option} {text}: expected seconds, or a number with a unit, e.g. 90s, 15m or 2h")
    return seconds


def _reading(
    text: str | None, label: str | None, group: str | None, document: str | None, splits: str | None, sample: int | None
) -> DataOptions:
    from bench.data import DataOptions, parse_splits

    return DataOptions(_names(text), label, group, document, parse_splits(splits), sample)


def _option(panel: str) -> Any:  # noqa: ANN401
    """Return typer.Option for the options of one panel of `--help`."""
    return partial(typer.Option, rich_help_panel=panel)


_compare, _search, _source, _training, _place, _engine = map(
    _option, ("What to compare", "The search", "Data and model", "Training", "Where and how to run", "On a cluster")
)

StudyFile = Annotated[
    Path | None, typer.Argument(metavar="[STUDY.yaml]", help="A study file, for several data sets or backbones.")
]
Methods = Annotated[
    str, _compare("--methods", metavar="NAME,…", help="Methods or groups of methods: core, all, or a family.")
]
Settings = Annotated[
    list[str] | None,
    _compare(
        "--set",
        metavar="METHOD.FIELD=V1,V2",
        help="Set or sweep a hyperparameter. Repeat it for several.",
    ),
]
Seeds = Annotated[str, _compare(metavar="N,…", help="Seeds. Each one repeats the whole grid.")]
Baseline = Annotated[
    bool,
    _compare(
        "--baseline/--no-baseline",
        help="Also compare with logistic regression on character n-grams, which takes seconds. The store keeps it.",
    ),
]
Trials = Annotated[int | None, _search(min=1, help="Settings to try for each method, beside its default. Default: 16.")]
Budget = Annotated[
    str | None,
    _search(metavar="TIME", help="In place of --trials: training time for each method's search, e.g. 30m."),
]
SearchSeeds = Annotated[str, _search("--search-seeds", metavar="N,…", help="Each one is a search of its own.")]
Spaces = Annotated[
    list[str] | None,
    _search(
        "--space",
        metavar="METHOD.FIELD=LOW..HIGH[:log]",
        help="Search this range, not the one that `bench list` shows. Repeat it for several.",
    ),
]
SelectEpoch = Annotated[
    bool,
    _search("--select-epoch", help="Judge trials, and test what was chosen, at the best epoch on validation."),
]
SelectMetric = Annotated[
    str,
    _search(
        "--select-metric",
        metavar="METRIC",
        help=f"Choose by this metric of the validation split: {', '.join(METRICS)}.",
    ),
]
Optimise = Annotated[
    bool,
    _search("--optimise", help="Find the best settings of one method with Optuna (an extra). It compares nothing."),
]
DryRun = Annotated[bool, _compare("--dry-run", help="Print the grid of runs and exit.")]
Preset = Annotated[
    Literal["full", "demo"] | None,
    _source(
        help="full: GPT-2 on AuthorMix, from the Hub. demo: a small GPT-2 and texts that ship with the project. "
        "Default: full if it is available, else demo."
    ),
]
Model = Annotated[
    str | None,
    _source(metavar="NAME|DIR", help="Backbone: a folder, or a name on the Hub. NAME@REVISION pins a commit."),
]
Texts = Annotated[
    str | None,
    _source(
        "--data",
        metavar="NAME|DIR|FILE",
        help="Texts and their labels: a folder, a file, or a name on the Hub. NAME:CONFIG@REVISION tells which of it.",
    ),
]
TextColumns = Annotated[
    str | None,
    _source("--text", metavar="COLUMN[,COLUMN]", help="Column of the texts, or two for pairs. Default: by its name."),
]
LabelColumn = Annotated[
    str | None, _source("--label", metavar="COLUMN", help="Column of the labels. Default: by its name.")
]
GroupColumn = Annotated[
    str | None,
    _source("--group", metavar="COLUMN", help="Column that the report breaks down by. Default: category, or none."),
]
DocumentColumn = Annotated[
    str | None,
    _source(
        "--document", metavar="COLUMN", help="Column of documents, which are kept whole. Default: document, or none."
    ),
]
SplitSources = Annotated[
    str | None,
    _source("--splits", metavar="train=…,test=…", help="File or split of the data for each split. Others are made."),
]
Sample = Annotated[
    int | None, _source(min=1, help="Use only this many passages in all. Each split and each label keeps its share.")
]
Categories = Annotated[str | None, _source(metavar="C,…", help="Use only these groups (by default, categories).")]
TrainSize = Annotated[int | None, _source(min=1, help="Use only this many train passages. Each style keeps its share.")]
MaxLength = Annotated[int | None, _source(min=1, help="Truncate passages to this many tokens.")]
Epochs = Annotated[int | None, _training(min=1, help="Passes over the train split.")]
MaxSteps = Annotated[int | None, _training(min=1, help="Stop after this many optimizer steps.")]
BatchSize = Annotated[int | None, _training(min=1, help="Passages per optimizer step.")]
Dtype = Annotated[
    Literal["auto", "fp32", "bf16"],
    _training(help="Precision of the frozen weights. auto: bf16 if the hardware multiplies it natively, else fp32."),
]
FeatureCache = Annotated[
    bool,
    _training(
        "--feature-cache/--no-feature-cache",
        help="Compute the features of a frozen backbone once and share them, or compute them again in every epoch.",
    ),
]
Device = Annotated[Literal["auto", "cpu", "cuda"], _place(help="Device to train on. auto: cuda if there is one.")]
Jobs = Annotated[
    str,
    _place(
        metavar="N|auto",
        help="Runs at once on this machine, each on cores of its own. auto: what is quickest here, which is measured; "
        "with CUDA, a run on each GPU.",
    ),
]
Threads = Annotated[int | None, _place(min=1, help="Threads of each run. Default: the cores, divided by the jobs.")]
RunsPerGpu = Annotated[int, _place(min=1, help="Runs at once on each GPU.")]
Timing = Annotated[
    bool,
    _place(
        "--timing/--no-timing",
        help="Where runs shared the machine, run the first seed of each variant again by itself, for speed and memory.",
    ),
]
Engine = Annotated[
    Literal["local", "slurm", "ray"],
    _engine(
        help="What does the runs: this machine, workers that are submitted to Slurm, or tasks on a Ray cluster "
        "(docs/scaling.md)."
    ),
]
Workers = Annotated[int | None, _engine(min=1, help="Workers to submit to Slurm. Default: 4.")]
EngineSet = Annotated[
    list[str] | None,
    _engine(
        "--engine-set",
        metavar="NAME=VALUE",
        help="What each worker asks Slurm for; of Ray, address=HOST:PORT. Repeat it for several.",
    ),
]
EngineFile = Annotated[Path | None, _engine(metavar="FILE", help="The same settings as a YAML file.")]
Results = Annotated[Path | None, _place(metavar="DIR", help="Store for the records. Default: results/PRESET.")]
Rerun = Annotated[
    Literal["missing", "failed", "all", "none"],
    _place(
        help="Which runs of the grid to start. missing: those without a record. failed: also those that failed, but "
        "not those that diverged. all: every run. none: no run, only show the records."
    ),
]
Timeout = Annotated[str | None, _place(metavar="TIME", help="Stop a run after this long, e.g. 90s, 15m or 2h.")]
Checkpoint = Annotated[
    Literal["auto", "on", "off"],
    _place(help="Save a checkpoint after each epoch, to resume a killed run. auto: if an epoch takes over a minute."),
]
SaveAdapters = Annotated[Path | None, _place(metavar="DIR", help="Save each run's adapter in a subfolder of DIR.")]


_AS_GIVEN = (
    *("preset", "model", "data", "train_size", "epochs", "max_steps", "batch_size", "max_length", "device", "dtype"),
    *("feature_cache", "results", "rerun", "checkpoint", "save_adapters", "baseline", "timing"),
)
_KEYS = {"chosen": "methods"}
"""Parameters that have another name than a study file's key."""


def _request(given: Mapping[str, Any]) -> study.Request:
    """Return what was asked for by the parameters, by name, that `run` and `tune` have in common."""
    from bench import study
    from bench.execution import engine, slots

    chosen = _names(given["chosen"]) or ()
    if hint := renamed(chosen):
        console.say(hint)
    reading = (given[name] for name in ("text", "label", "group", "document", "splits", "sample"))
    return study.Request(
        **{name: given[name] for name in _AS_GIVEN},
        methods=expand(chosen),
        settings=tuple(given.get("settings") or ()),
        seeds=_seeds(given["seeds"]),
        categories=_names(given["category"]),
        reading=_reading(*reading),
        timeout_s=_duration(given["timeout"]),
        engine=engine.settings(
            given["engine"],
            slots.Placing(_jobs(given["jobs"]), given["threads"], given["runs_per_gpu"], given["timing"]),
            given["workers"],
            given["engine_set"] or (),
            given["engine_file"],
        ),
    )


def _typed(ctx: typer.Context) -> set[str]:
    """Return what was given on the command line, by a study file's keys."""
    sources = {name: ctx.get_parameter_source(name) for name in ctx.params}
    return {_KEYS.get(name, name) for name, source in sources.items() if source and source.name == "COMMANDLINE"}


def _study_file(path: Path | None) -> studyfile.Study | None:
    from bench import studyfile

    return None if path is None else studyfile.read(path)


def _requests(found: studyfile.Study | None, given: Mapping[str, Any], typed: set[str]) -> list[study.Request]:
    """Return what a study file asks for, with what the command line says on top; without a file that alone."""
    if found is None:
        return [_request(given)]
    return found.requests(_request({**given, **found.options(typed)}), typed)


@app.command(epilog=RUN_EXAMPLES)
def run(
    ctx: typer.Context,
    file: StudyFile = None,
    chosen: Methods = _CORE,
    settings: Settings = None,
    seeds: Seeds = "0,1,2",
    preset: Preset = None,
    model: Model = None,
    data: Texts = None,
    text: TextColumns = None,
    label: LabelColumn = None,
    group: GroupColumn = None,
    document: DocumentColumn = None,
    splits: SplitSources = None,
    sample: Sample = None,
    category: Categories = None,
    train_size: TrainSize = None,
    epochs: Epochs = None,
    max_steps: MaxSteps = None,
    batch_size: BatchSize = None,
    max_length: MaxLength = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    jobs: Jobs = "1",
    threads: Threads = None,
    runs_per_gpu: RunsPerGpu = 1,
    timing: Timing = True,
    engine: Engine = "local",
    workers: Workers = None,
    engine_set: EngineSet = None,
    engine_file: EngineFile = None,
    results: Results = None,
    rerun: Rerun = "failed",
    timeout: Timeout = None,
    checkpoint: Checkpoint = "auto",
    save_adapters: SaveAdapters = None,
    feature_cache: FeatureCache = True,
    baseline: Baseline = True,
    dry_run: DryRun = False,
) -> None:
    """Train every method with every hyperparameter value and seed, and compare them.

    Each run leaves one record in the store. The same command again starts only what is missing or failed.
    """
    given = locals()
    from bench import study

    requests = _requests(_study_file(file), given, _typed(ctx))
    if dry_run:
        tasks = [f"{one.data or 'the preset’s texts'} · {one.model or 'its backbone'}" for one in requests]
        console.grid(requests[0].variants(), requests[0].seeds, tasks)
        if found := study.estimate(*requests):
            console.estimate(found)
        return
    with interrupts.leaving():
        store, records = study.run(*requests)
    console.summary(records, store.folder)
    raise typer.Exit(EXIT_RUNS_FAILED if any(record.status != "ok" for record in records) else 0)


@app.command()
def init(
    file: Annotated[Path, typer.Argument(metavar="[STUDY.yaml]", help="The file to write.")] = Path("study.yaml"),
) -> None:
    """Write a study file with comments, to be changed and run: `bench run STUDY.yaml`."""
    from bench import studyfile

    studyfile.write_template(file)
    console.say(f"{file} is there: change it, then `python -m bench run {file}`")


@app.command(epilog=DATA_EXAMPLES)
def data(
    name: Annotated[
        str, typer.Argument(metavar="NAME|DIR|FILE", help="Texts: a folder, a file, or a name on the Hub.")
    ],
    model: Annotated[
        str | None, typer.Option(metavar="NAME|DIR", help="Count in this model's tokens. Default: the embedded GPT-2.")
    ] = None,
    text: TextColumns = None,
    label: LabelColumn = None,
    group: GroupColumn = None,
    document: DocumentColumn = None,
    splits: SplitSources = None,
    sample: Sample = None,
) -> None:
    """Show how texts would be read: columns, labels, lengths, duplicates and first rows. Nothing is trained."""
    from bench import study

    reading = _reading(text, label, group, document, splits, sample)
    request = study.Request(preset="demo", model=model, data=name, reading=reading)
    corpus, lengths = study.look(request)
    console.data(corpus, lengths, model or "the embedded GPT-2")
    if found := study.estimate(request):
        console.say("A study of the core methods with three seeds, as `python -m bench run` makes it:")
        console.estimate(found)


@app.command(epilog=TUNE_EXAMPLES)
def tune(
    ctx: typer.Context,
    file: StudyFile = None,
    chosen: Methods = _CORE,
    trials: Trials = None,
    budget: Budget = None,
    search_seeds: SearchSeeds = "0",
    space: Spaces = None,
    select_epoch: SelectEpoch = False,
    select_metric: SelectMetric = "accuracy",
    optimise: Optimise = False,
    seeds: Seeds = "1,2,3,4,5",
    preset: Preset = None,
    model: Model = None,
    data: Texts = None,
    text: TextColumns = None,
    label: LabelColumn = None,
    group: GroupColumn = None,
    document: DocumentColumn = None,
    splits: SplitSources = None,
    sample: Sample = None,
    category: Categories = None,
    train_size: TrainSize = None,
    epochs: Epochs = None,
    max_steps: MaxSteps = None,
    batch_size: BatchSize = None,
    max_length: MaxLength = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    jobs: Jobs = "1",
    threads: Threads = None,
    runs_per_gpu: RunsPerGpu = 1,
    timing: Timing = True,
    engine: Engine = "local",
    workers: Workers = None,
    engine_set: EngineSet = None,
    engine_file: EngineFile = None,
    results: Results = None,
    rerun: Rerun = "failed",
    timeout: Timeout = None,
    checkpoint: Checkpoint = "auto",
    save_adapters: SaveAdapters = None,
    feature_cache: FeatureCache = True,
    baseline: Baseline = True,
    dry_run: DryRun = False,
) -> None:
    """Search good settings for every method with the same budget, and compare the methods at their best.

    A search trains each trial once and judges it by the validation split. What it chose, and the default, are then
    trained anew with --seeds and tested. The same command again goes on where it was.
    """
    given = locals()
    from bench.tuning import search

    found, typed = _study_file(file), _typed(ctx)
    how = {
        **{name: given[name] for name in ("trials", "budget", "select_epoch", "select_metric", "optimise")},
        "search_seeds": _seeds(search_seeds, "--search-seeds"),
        "space": tuple(space or ()),
    }
    how = found.searching(how, typed) if found else how
    how["budget_s"] = _duration(how.pop("budget"), "--budget")
    tasks = [search.Tuning(request=one, **how) for one in _requests(found, given, typed)]
    if dry_run:
        for line in search.announced(tasks[0], len(tasks)):
            console.say(line)
        return
    with interrupts.leaving():
        tuned = search.run(*tasks)
    console.summary(tuned.records, tuned.store.folder)
    raise typer.Exit(0 if tuned.ok else EXIT_RUNS_FAILED)


@app.command(name="list")
def list_methods(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the methods by family: what they train, their defaults, their paper. Also lists which can't run, and why."""
    described = [methods.describe(name) for name in methods.names()]
    described += [{"name": name, "unable": why} for name, why in methods.unable().items()]
    if as_json:
        print(json.dumps(described, indent=2, ensure_ascii=False))
    else:
        console.catalogue(described)


@app.command(epilog=CHECK_EXAMPLES)
def check(
    name: Annotated[str, typer.Argument(metavar="METHOD", help="A method from `bench list`.")],
) -> None:
    """Check that a method keeps its contract on a small GPT-2, Llama and BERT."""
    from bench.gates import check as checks

    outcome = checks.outcome(methods.get(name))
    console.show(checks.table(outcome))
    for line in checks.lines(name, outcome):
        console.say(line)
    raise typer.Exit(EXIT_CHANGED if checks.broken(outcome) else 0)


@app.command()
def budget(
    update: Annotated[bool, typer.Option("--update", help="Save the measured figures as the new budgets.")] = False,
) -> None:
    """Compare each method's operators, FLOPs and live memory with tests/benchmarks/budgets.csv."""
    from bench.gates import budget as budgets

    found = budgets.update(budgets.FILE) if update else budgets.check(budgets.FILE)
    if found:
        console.show(budgets.table(found))
    console.say(budgets.verdict(found, update))
    raise typer.Exit(EXIT_CHANGED if found and not update else 0)


@app.command()
def regress(
    base: Annotated[str, typer.Argument(metavar="BASE", help="Revision to compare with: a branch, tag or commit.")],
    head: Annotated[str, typer.Argument(metavar="[HEAD]", help="Revision to test.")] = "HEAD",
    margin: Annotated[float, typer.Option(help="Relative slowdown that counts as slower: 0.05 is 5%.", min=0)] = 0.05,
) -> None:
    """Time the benchmarks of two revisions in turns, and print a Markdown table of the ratios."""
    from bench.gates import regress as regression
    from bench.gates.ratios import Rule

    rule = Rule(margin=margin)
    outcome = regression.compare(regression.ROOT, base, head, rule, tell=lambda line: typer.echo(line, err=True))
    typer.echo(regression.report(outcome, base, head, rule))
    raise typer.Exit(EXIT_CHANGED if outcome.slower else 0)


def main() -> None:
    """Run a command; a person's mistake ends with exit code 2 and a line or two, never a traceback."""
    streams.replace_unknown()
    try:
        _check_encoding(sys.argv)
        code = app(standalone_mode=False)
    except (UsageError, MethodError) as error:
        _mistake(str(error))
    except TyperException as error:
        _mistake(error.format_message())
    except OSError as error:
        _mistake(refusal(error))
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(interrupts.EXIT_CODE)
    finally:
        interrupts.forget()
    sys.exit(code or 0)


def _check_encoding(arguments: list[str]) -> None:
    """Refuse what no record could hold: bytes that aren't text."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise UsageError(f"{argument!a} isn't UTF-8; rename that file or folder") from None


def _mistake(message: str) -> NoReturn:
    print(f"bench: {clean_lines(message)}", file=sys.stderr)
    sys.exit(EXIT_USAGE)
