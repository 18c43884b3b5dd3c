from __future__ import annotations

import pytest

from bench.execution import oom


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """As many processes have been ended by the kernel as the list is long."""
    ended: list[None] = [None] * 4
    monkeypatch.setattr(oom, "kills", lambda: len(ended))
    monkeypatch.setattr(oom, "_told", 0)
    return ended


def test_a_kill_explains_one_end_and_not_its_neighbours(kernel: list[None]) -> None:
    first = second = oom.kills()
    kernel.append(None)
    assert oom.ended_by_kernel(first)
    assert not oom.ended_by_kernel(second)


def test_a_run_that_began_before_a_neighbours_kill_was_noticed_has_its_own(kernel: list[None]) -> None:
    first = oom.kills()
    kernel.append(None)
    late = oom.kills()
    assert oom.ended_by_kernel(first)
    assert not oom.ended_by_kernel(late)
    kernel.append(None)
    assert oom.ended_by_kernel(late)


def test_kills_from_before_a_run_explain_nothing(kernel: list[None]) -> None:
    assert not oom.ended_by_kernel(oom.kills())
