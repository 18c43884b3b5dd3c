"""The study file that `bench init` writes, with comments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

TEMPLATE = """\
# A study: every method, with every value and seed, on all texts with all models.
#
#   python -m bench run {name} --dry-run     shows its grid
#   python -m bench run {name}               runs it; the same command again goes on with what is missing
#   python report.py results/{stem}           writes the report
#
# Keys are the command line's options (`python -m bench run --help`), with _ for -. What is left out has its default.
# On the command line, --set adds to the settings here, and other options take the place of what stands here.

# Texts: folders, files, or names on the Hugging Face Hub, each with settings of its own where it needs them.
# Without `data`, the preset's.
# data:
#   - my-texts/
#   - source: shop/
#     text: review             # or two columns, for pairs: [question1, question2]
#     label: sentiment
#     group: product           # what the report breaks down by
#     document: customer       # what stays together where splits are made
#     splits: {{train: 2024.csv, test: 2025.csv}}
#     sample: 5000             # so many passages of all splits
#     train_size: 1000         # so many of the train split; several, [100, 300, 1000], repeat the grid for each
#     category: [books, films] # only these groups

# Backbones: folders or names on the Hub; NAME@REVISION pins a commit. Without `model`, the preset's.
# model:
#   - openai-community/gpt2

# full: GPT-2 on AuthorMix, from the Hub. demo: a small GPT-2 and texts that ship with the project.
preset: demo

# Methods or groups of methods: core, all, or a family. `python -m bench list` shows them.
methods: [core]

# Hyperparameters, METHOD.FIELD: a value, or several to sweep.
# set:
#   lora.alpha: [8, 32, 128]

# Each seed repeats the whole grid. bench tune tests what it found with 1 to 5, where none are given.
# seeds: [0, 1, 2]

# Also compare with logistic regression on character n-grams.
# baseline: true

# A text of your own by which forgetting is measured: how much worse the tuned backbone models it. false: don't measure.
# forgetting: true

# Training. Without a number, the preset's.
# epochs: 3
# max_steps: 1000
# batch_size: 16
# max_length: 256
# dtype: auto                # auto, fp32 or bf16
# feature_cache: true        # compute the features of a frozen backbone once

# Where and how to run.
# device: auto               # auto, cpu or cuda
# jobs: 1                    # runs at once on this machine, or auto
# threads: 1                 # of each run; without a number, the cores divided by the jobs
# runs_per_gpu: 1
# timing: true               # where runs shared the machine, time the first seed of each variant by itself
# engine: local              # or slurm, with workers and what each asks for (docs/scaling.md)
# workers: 4
# engine_set: {{partition: gpu, time: 60}}
# results: results/{stem}
# rerun: failed              # missing, failed, all or none
# timeout: 2h                # of each run
# checkpoint: auto           # auto, on or off
# save_adapters: adapters/
# report_to: [mlflow]        # trackers: trackio, wandb, mlflow, tensorboard

# How `python -m bench tune {name}` searches good settings for each method, on each task (it takes no `set`).
# tune:
#   trials: 16               # beside the default, or budget: 30m of training for each method
#   search_seeds: [0]        # none of them among the seeds
#   space:
#     lora.alpha: 4..256:log
#   select_epoch: false      # judge by the best epoch, not by the last
#   select_metric: accuracy
#   optimise: false
"""


def write_template(path: Path) -> None:
    """Write the file. Raises UsageError where there is one, or none can be written."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(TEMPLATE.format(name=path, stem=path.stem))
    except FileExistsError:
        raise UsageError(f"{path} is there already; name another file") from None
    except OSError as error:
        raise UsageError(f"can't write {path}: {error.strerror}") from error
