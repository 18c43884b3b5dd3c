"""`bench run`: a grid of runs."""

import typer

from bench import console
from bench.cli import asked, options
from bench.execution import interrupts

EXAMPLES = """Examples:

python -m bench run --preset demo

python -m bench run --methods lora,ia3 --seeds 0,1,2,3,4

python -m bench run --methods core,orthogonal --preset demo

python -m bench run --methods lora --set lora.alpha=8,32,128 --set lora.r=4,8 --dry-run

python -m bench run --preset demo --methods all --jobs auto

python -m bench run --methods lora,experiments/rank32/adapter_config.json,experiments/more --dry-run

python -m bench run --preset demo --engine slurm --workers 8 --engine-set partition=gpu --engine-set time=60

python -m bench run --data my-texts/ --category speech,novel --epochs 5

python -m bench run --preset demo --methods head,lora --train-size 100,300,1000

python -m bench run study.yaml --set lora.r=4,16

python -m bench run --preset demo --report-to mlflow,tensorboard
"""


def run(
    ctx: typer.Context,
    file: options.StudyFile = None,
    chosen: options.Methods = options.DEFAULT_METHODS,
    settings: options.Settings = None,
    seeds: options.Seeds = "0,1,2",
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
    """Train every method with every hyperparameter value and seed, and compare them.

    Each run leaves one record in the store. The same command again starts only what is missing or failed.
    """
    given = locals()
    from bench import study

    requests = asked.requests(asked.study_file(file), given, asked.typed_keys(ctx))
    if dry_run:
        console.grid(requests[0].unfolded(), requests[0].seeds, [one.task for one in requests])
        if found := study.estimate(*requests):
            console.estimate(found)
        return
    with interrupts.leaving():
        store, records = study.run(*requests)
    console.summary(records, store.folder)
    raise typer.Exit(asked.EXIT_RUNS_FAILED if any(record.status != "ok" for record in records) else 0)
