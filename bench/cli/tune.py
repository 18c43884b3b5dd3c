"""`bench tune`: good settings for every method."""

import typer

from bench import console
from bench.cli import asked, options, values
from bench.execution import interrupts

EXAMPLES = """Examples:

python -m bench tune --preset demo

python -m bench tune --methods lora,ia3,head --trials 8 --seeds 1,2,3

python -m bench tune --methods core --budget 30m --search-seeds 0,100

python -m bench tune --methods lora --space lora.alpha=4..256:log --space lora.r=2..64:log --dry-run

python -m bench tune study.yaml --trials 8 --select-metric macro_f1
"""


def tune(
    ctx: typer.Context,
    file: options.StudyFile = None,
    chosen: options.Methods = options.DEFAULT_METHODS,
    trials: options.Trials = None,
    budget: options.Budget = None,
    search_seeds: options.SearchSeeds = "0",
    space: options.Spaces = None,
    select_epoch: options.SelectEpoch = False,
    select_metric: options.SelectMetric = "accuracy",
    optimise: options.Optimise = False,
    seeds: options.Seeds = "1,2,3,4,5",
    preset: options.Preset = None,
    model: options.Model = None,
    data: options.Texts = None,
    text: options.TextColumns = None,
    label: options.LabelColumn = None,
    group: options.GroupColumn = None,
    document: options.DocumentColumn = None,
    splits: options.SplitSources = None,
    sample: options.Sample = None,
    category: options.Categories = None,
    train_size: options.TrainSize = None,
    epochs: options.Epochs = None,
    max_steps: options.MaxSteps = None,
    batch_size: options.BatchSize = None,
    max_length: options.MaxLength = None,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    jobs: options.Jobs = "1",
    threads: options.Threads = None,
    runs_per_gpu: options.RunsPerGpu = 1,
    timing: options.Timing = True,
    engine: options.Engine = "local",
    workers: options.Workers = None,
    engine_set: options.EngineSet = None,
    engine_file: options.EngineFile = None,
    results: options.Results = None,
    rerun: options.Rerun = "failed",
    timeout: options.Timeout = None,
    checkpoint: options.Checkpoint = "auto",
    save_adapters: options.SaveAdapters = None,
    report_to: options.ReportTo = None,
    feature_cache: options.FeatureCache = True,
    baseline: options.Baseline = True,
    forgetting: options.Forgetting = None,
    no_forgetting: options.NoForgetting = False,
    dry_run: options.DryRun = False,
) -> None:
    """Search good settings for every method with the same budget, and compare the methods at their best.

    A search trains each trial once and judges it by the validation split. What it chose, and the default, are then
    trained anew with --seeds and tested. The same command again goes on where it was.
    """
    given = locals()
    from bench.tuning import search

    found, typed = asked.study_file(file), asked.typed_keys(ctx)
    how = {
        **{name: given[name] for name in ("trials", "budget", "select_epoch", "select_metric", "optimise")},
        "search_seeds": values.seeds(search_seeds, "--search-seeds"),
        "space": tuple(space or ()),
    }
    how = found.searching(how, typed) if found else how
    how["budget_s"] = values.duration(how.pop("budget"), "--budget")
    tasks = [search.Tuning(request=one, **how) for one in asked.requests(found, given, typed)]
    if dry_run:
        for line in search.announced(tasks[0], len(tasks)):
            console.say(line)
        return
    with interrupts.leaving():
        tuned = search.run(*tasks)
    console.summary(tuned.records, tuned.store.folder)
    raise typer.Exit(0 if tuned.ok else asked.EXIT_RUNS_FAILED)
