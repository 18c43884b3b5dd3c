from __future__ import annotations

import pytest
from record_factory import Variant, failed_record, make_record

from bench.store.speeds import Speed, Work, speeds, study_seconds

SLOW = Variant("lora", {"alpha": 8}, 0.4, 10, 1000.0, 600.0, 40.0)
CPU, BACKBONE = "Example CPU 3000", "3f2a9c1b7d5e4f60"


def test_speeds_are_of_the_same_backbone_on_the_same_machine() -> None:
    others = {"environment.cpu": "Other"}, {"backbone.revision": "other"}, {"training.device": "cuda"}
    records = [make_record(SLOW, seed, {"speed.train_tokens_per_s": 100.0 * (1 + seed)}) for seed in range(3)]
    records += [make_record(SLOW, changes={**change, "speed.train_tokens_per_s": 1.0}) for change in others]
    records += [failed_record(SLOW, 5)]
    found = speeds(records, BACKBONE, "cpu", CPU)
    assert list(found) == ["lora"]
    assert found["lora"].train == 200.0
    assert speeds(records, BACKBONE, "cpu", "Nowhere") == {}
    assert speeds(records, BACKBONE, "cuda", CPU)["lora"].train == 1.0


def test_a_study_takes_what_its_tokens_take_at_the_speeds_known() -> None:
    work = Work(train=1000, validation=100, test=200, epochs=2)
    trained = Speed(train=100.0, evaluation=500.0, load_s=1.0, keeps_features=False)
    untrained = Speed(train=None, evaluation=500.0, load_s=1.0, keeps_features=True)
    assert work.seconds(trained) == pytest.approx(1 + 20 + 1)
    assert work.seconds(untrained) == pytest.approx(1 + 3)
    known = {"lora": trained, "frozen": untrained}
    assert study_seconds(["lora", "lora", "frozen"], 3, work, known) == pytest.approx(3 * (22 + 22 + 4))
    assert study_seconds(["frozen", "new"], 1, work, known) == pytest.approx(4 + 22)
    assert study_seconds(["lora"], 1, work, {}) is None
