"""Variants against a baseline whose predictions are fixed."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from record_factory import DEMO, FINGERPRINT, Variant, build_baseline, build_store, lora
from scipy.stats import t

from bench import stats
from bench.stats.families import holm
from bench.store import baseline
from bench.store.files import Store

if TYPE_CHECKING:
    from pathlib import Path

    from bench.stats import Analysis


def _analysed(folder: Path, accuracy: float = 0.45, variants: tuple[Variant, ...] = DEMO, seeds: int = 3) -> Analysis:
    build_store(folder, variants, range(seeds), build_baseline(folder, accuracy))
    [comparison] = stats.comparisons(Store(folder).read().records)
    return stats.analyse(comparison, folder)


@pytest.fixture(scope="module")
def analysis(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    """The demo study beside a baseline of 45%."""
    return _analysed(tmp_path_factory.mktemp("store"))


def test_a_difference_is_the_variants_mean_minus_the_baselines_accuracy(analysis: Analysis) -> None:
    assert analysis.against_baseline is not None
    assert analysis.comparison.baseline is not None
    for summary, found in zip(analysis.comparison.summaries, analysis.against_baseline.differences, strict=True):
        assert summary.accuracy is not None
        assert found is not None
        assert found.mean == pytest.approx(summary.accuracy.mean - analysis.comparison.baseline.accuracy)
        assert found.interval.low < found.mean < found.interval.high


def test_who_is_far_above_is_better_and_who_is_far_below_is_worse(tmp_path: Path) -> None:
    found = _analysed(tmp_path, 0.3, (lora(8, 0.5), lora(32, 0.3), lora(128, 0.1)))
    assert found.against_baseline is not None
    verdicts = [difference and difference.verdict for difference in found.against_baseline.differences]
    assert verdicts == ["better", "no difference found", "worse"]


def test_p_is_adjusted_for_all_variants(analysis: Analysis) -> None:
    assert analysis.against_baseline is not None
    found = [difference for difference in analysis.against_baseline.differences if difference]
    assert len(found) == len(DEMO)
    assert [one.p_adjusted for one in found] == pytest.approx(holm(np.array([one.p for one in found])).tolist())


def test_with_one_seed_only_documents_vary_and_what_is_hard_for_both_cancels_out(tmp_path: Path) -> None:
    found = _analysed(tmp_path, seeds=1, variants=(lora(8, 0.45),))
    assert found.against_baseline is not None
    [outcomes], [difference] = found.outcomes, found.against_baseline.differences
    assert outcomes is not None
    assert difference is not None
    kept = baseline.find(tmp_path, FINGERPRINT)
    assert kept is not None
    table = pd.read_parquet(io.BytesIO(kept.predictions))
    gaps = outcomes.right[0].astype(float) - (table["style"] == table["prediction"])
    left = np.array([gaps[table["document"] != name].mean() for name in table["document"].unique()])
    documents = len(left)
    error = math.sqrt((documents - 1) / documents * ((gaps.mean() - left) ** 2).sum())
    assert difference.interval.high - difference.mean == pytest.approx(t.ppf(0.975, documents - 1) * error)
    alone = found.accuracy[0]
    assert alone is not None
    assert difference.interval.high - difference.interval.low < 1.4 * (alone.high - alone.low)


def test_the_baselines_own_interval_is_that_of_a_variant_with_one_seed(tmp_path: Path) -> None:
    truth = Variant("ngrams", accuracy=0.45, seed_sd=0.0)
    found = _analysed(tmp_path, variants=(truth,), seeds=1)
    assert found.against_baseline is not None
    assert found.against_baseline.accuracy == found.accuracy[0]
    assert found.against_baseline.macro_f1 == found.macro_f1[0]
    assert [one and (one.mean, one.verdict) for one in found.against_baseline.differences] == [(0.0, "equivalent")]


def test_the_chance_in_a_variants_seeds_counts_whole(tmp_path: Path) -> None:
    calm, wild = (
        _analysed(tmp_path / name, variants=(lora(8, 0.45, seed_sd=sd),))
        for name, sd in (("calm", 0.0), ("wild", 0.08))
    )
    widths = []
    for found in (calm, wild):
        assert found.against_baseline is not None
        [difference] = found.against_baseline.differences
        assert difference is not None
        widths.append(difference.interval.high - difference.interval.low)
    assert widths[1] > 2 * widths[0]


def test_predictions_that_cannot_be_read_leave_the_figures_and_are_told(tmp_path: Path) -> None:
    changes = build_baseline(tmp_path, 0.45)
    build_store(tmp_path, DEMO, changes=changes)
    [comparison] = stats.comparisons(Store(tmp_path).read().records)
    path = baseline.path(tmp_path, FINGERPRINT).with_suffix(".parquet")
    path.write_bytes(path.read_bytes()[:-1])
    damaged = stats.analyse(comparison, tmp_path)
    path.with_suffix(".json").unlink()
    gone = stats.analyse(comparison, tmp_path)
    for found, why in ((damaged, "its predictions were changed or damaged"), (gone, "the file isn't there")):
        assert found.against_baseline is None
        assert found.comparison.baseline is not None
        assert found.missing == (f"baseline (baseline-{FINGERPRINT}.json): {why}",)
        assert found.top


def test_a_store_without_a_baseline_has_none(tmp_path: Path) -> None:
    build_store(tmp_path, DEMO)
    [comparison] = stats.comparisons(Store(tmp_path).read().records)
    found = stats.analyse(comparison, tmp_path)
    assert (found.comparison.baseline, found.against_baseline, found.missing) == (None, None, ())
