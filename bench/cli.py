"""The commands: parse, call, print; no logic."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import typer
from typer.exceptions import TyperException

import methods
from bench import console
from bench.errors import UsageError, refusal
from bench.execution import interrupts
from bench.machine import streams
from bench.reporting.text import clean_lines
from bench.spec import CARD, expand
from methods import MethodError

EXIT_RUNS_FAILED, EXIT_USAGE = 1, 2
EXIT_CHANGED = 1

app = typer.Typer(
    help="Compare parameter-efficient fine-tuning methods for text classification.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
)

_CARD = ",".join(CARD)

RUN_EXAMPLES = """Examples:

python -m bench run --preset demo

python -m bench run --methods lora,ia3 --seeds 0,1,2,3,4

python -m bench run --methods card,orthogonal --preset demo

python -m bench run --methods lora --set lora.alpha=8,32,128 --set lora.r=4,8 --dry-run

python -m bench run --data my-texts/ --category speech,novel --epochs 5
"""


CHECK_EXAMPLES = """Example:

python -m bench check lora
"""


def _names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(part.strip() for part in text.split(",") if part.strip())


def _seeds(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in _names(text) or ())
    except ValueError:
        raise UsageError(f"--seeds {text}: write whole numbers with commas between them, e.g. 0,1,2") from None


def _duration(text: str | None) -> float | None:
    """Read seconds, or a number with its unit."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text.strip())
    seconds = float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]] if found else 0
    if seconds <= 0:
        raise UsageError(f"--timeout {text}: write a number of seconds, or with a unit, e.g. 90s, 15m or 2h")
    return seconds


def _option(help_text: str, *names: str, metavar: str | None = None, least: int | None = None) -> Any:  # noqa: ANN401
    return typer.Option(*names, help=help_text, metavar=metavar, min=least)


Methods = Annotated[
    str, _option("Which methods or groups of them (all, card, a family), with commas.", "--methods", metavar="NAME,…")
]
Settings = Annotated[
    list[str] | None,
    _option("Sweep a hyperparameter; several multiply.", "--set", metavar="METHOD.FIELD=V1,V2"),
]
Seeds = Annotated[str, _option("Seeds, with commas between them.", metavar="N,…")]
Preset = Annotated[
    Literal["full", "demo"] | None,
    _option("GPT-2 on AuthorMix from the Hub, or what comes with the project. By default full where it can be had."),
]
Model = Annotated[
    str | None,
    _option("Another backbone: on the Hub (NAME@REVISION pins a commit) or a folder.", metavar="NAME|DIR"),
]
Texts = Annotated[
    str | None,
    _option("Other texts, with columns text, style, category: on the Hub or here.", "--data", metavar="NAME|DIR|FILE"),
]
Categories = Annotated[str | None, _option("Only these categories, with commas between them.", metavar="C,…")]
TrainSize = Annotated[int | None, _option("Only so many train passages, each style in proportion.", least=1)]
Epochs = Annotated[int | None, _option("Passes over the train passages.", least=1)]
MaxSteps = Annotated[int | None, _option("Stop training after so many optimizer steps.", least=1)]
BatchSize = Annotated[int | None, _option("Passages an optimizer step.", least=1)]
MaxLength = Annotated[int | None, _option("How many tokens of a passage are read.", least=1)]
Device = Annotated[Literal["auto", "cpu", "cuda"], _option("Where to compute.")]
Dtype = Annotated[
    Literal["auto", "fp32", "bf16"], _option("Precision; auto is bf16 where the hardware multiplies it natively.")
]
FeatureCache = Annotated[
    bool,
    _option(
        "Keep what a backbone that never changes makes of each text, or compute it again in every epoch.",
        "--feature-cache/--no-feature-cache",
    ),
]
Results = Annotated[Path | None, _option("The store; by default results/PRESET.", metavar="DIR")]
Rerun = Annotated[
    Literal["missing", "failed", "all", "none"],
    _option("Which runs to do: missing ones; also those that failed (not those that diverged); all; none, just show."),
]
Timeout = Annotated[str | None, _option("End a run that takes longer, e.g. 90s, 15m, 2h.", metavar="TIME")]
Checkpoint = Annotated[
    Literal["auto", "on", "off"],
    _option("Keep what a killed run needs to go on after each epoch; auto does for epochs over a minute."),
]
SaveAdapters = Annotated[
    Path | None, _option("Write each run's adapter into a folder of its own in this one.", metavar="DIR")
]


@app.command(epilog=RUN_EXAMPLES)
def run(
    chosen: Methods = _CARD,
    settings: Settings = None,
    seeds: Seeds = "0,1,2",
    preset: Preset = None,
    model: Model = None,
    data: Texts = None,
    category: Categories = None,
    train_size: TrainSize = None,
    epochs: Epochs = None,
    max_steps: MaxSteps = None,
    batch_size: BatchSize = None,
    max_length: MaxLength = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    results: Results = None,
    rerun: Rerun = "failed",
    timeout: Timeout = None,
    checkpoint: Checkpoint = "auto",
    save_adapters: SaveAdapters = None,
    feature_cache: FeatureCache = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the grid and stop.")] = False,
) -> None:
    """Run every method with every hyperparameter and seed, and show how they compare."""
    from bench import study

    request = study.Request(
        methods=expand(_names(chosen) or ()),
        settings=tuple(settings or ()),
        seeds=_seeds(seeds),
        preset=preset,
        model=model,
        data=data,
        categories=_names(category),
        train_size=train_size,
        epochs=epochs,
        max_steps=max_steps,
        batch_size=batch_size,
        max_length=max_length,
        device=device,
        dtype=dtype,
        feature_cache=feature_cache,
        results=results,
        rerun=rerun,
        timeout_s=_duration(timeout),
        checkpoint=checkpoint,
        save_adapters=save_adapters,
    )
    if dry_run:
        console.grid(request.variants(), request.seeds)
        return
    with interrupts.leaving():
        store, records = study.run(request)
    console.summary(records, store.folder)
    raise typer.Exit(EXIT_RUNS_FAILED if any(record.status != "ok" for record in records) else 0)


@app.command(name="list")
def list_methods(as_json: Annotated[bool, typer.Option("--json", help="The same as JSON.")] = False) -> None:
    """Show the methods by family: what trains, the defaults, the paper; and what can't take part, with the reason."""
    described = [methods.describe(name) for name in methods.names()]
    described += [{"name": name, "unable": why} for name, why in methods.unable().items()]
    if as_json:
        print(json.dumps(described, indent=2, ensure_ascii=False))
    else:
        console.catalogue(described)


@app.command(epilog=CHECK_EXAMPLES)
def check(
    name: Annotated[str, typer.Argument(metavar="METHOD", help="One of `bench list`, or a package's own.")],
) -> None:
    """Check what a method promises on a small GPT-2, Llama and BERT, and say what it doesn't keep."""
    from bench.gates import check as checks

    outcome = checks.outcome(methods.get(name))
    console.show(checks.table(outcome))
    for line in checks.lines(name, outcome):
        console.say(line)
    raise typer.Exit(EXIT_CHANGED if checks.broken(outcome) else 0)


@app.command()
def budget(
    update: Annotated[
        bool, typer.Option("--update", help="Write what there is now as the budget of these versions.")
    ] = False,
) -> None:
    """Check what every method computes and holds, to the digit, against tests/benchmarks/budgets.csv."""
    from bench.gates import budget as budgets

    found = budgets.update(budgets.FILE) if update else budgets.check(budgets.FILE)
    if found:
        console.show(budgets.table(found))
    console.say(budgets.verdict(found, update))
    raise typer.Exit(EXIT_CHANGED if found and not update else 0)


@app.command()
def regress(
    base: Annotated[str, typer.Argument(metavar="BASE", help="The revision before: a branch, a tag or a commit.")],
    head: Annotated[str, typer.Argument(metavar="[HEAD]", help="The revision after.")] = "HEAD",
    margin: Annotated[float, typer.Option(help="How much slower is too slow, as a part of one.", min=0)] = 0.05,
) -> None:
    """Time two revisions' benchmarks in alternation; print how they compare as Markdown."""
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
