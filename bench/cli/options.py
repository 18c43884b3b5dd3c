"""The options that several commands have, by the panels of `--help`."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from bench.cli.values import device
from bench.spec import CORE
from bench.store.metrics import METRICS
from bench.tracking import NAMES

DEFAULT_METHODS = ",".join(CORE)


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
    str,
    _compare(
        "--methods",
        metavar="NAME|PATH,…",
        help="Methods or groups of methods: core, all, or a family. Also peft's adapter_config.json, or a folder with "
        "such files.",
    ),
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
Forgetting = Annotated[
    Path | None,
    _compare(
        metavar="FILE",
        help="The text by which forgetting is measured: how much worse the tuned backbone models it. Default: the "
        "project's own.",
    ),
]
NoForgetting = Annotated[bool, _compare("--no-forgetting", help="Don't measure forgetting.")]
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
TrainSize = Annotated[
    str | None,
    _source(
        metavar="N,…",
        help="Use only this many train passages. Each style keeps its share. Several numbers repeat the grid for each.",
    ),
]
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
Device = Annotated[
    str,
    _place(metavar="[auto|cpu|cuda]", callback=device, help="Device to train on. auto: cuda if there is one."),
]
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
        help="Where runs shared the machine, run the first seed of each variant again by itself, for speed and memory. "
        "With --no-timing, runs of one method and seed may be trained in one pass, which is faster.",
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
ReportTo = Annotated[
    str | None,
    _place(
        "--report-to",
        metavar="TRACKER,…",
        help=f"Also report runs to trackers: {', '.join(NAMES)} (extras; docs/trackers.md). Default: to none.",
    ),
]
Timeout = Annotated[str | None, _place(metavar="TIME", help="Stop a run after this long, e.g. 90s, 15m or 2h.")]
Checkpoint = Annotated[
    Literal["auto", "on", "off"],
    _place(help="Save a checkpoint after each epoch, to resume a killed run. auto: if an epoch takes over a minute."),
]
SaveAdapters = Annotated[Path | None, _place(metavar="DIR", help="Save each run's adapter in a subfolder of DIR.")]
