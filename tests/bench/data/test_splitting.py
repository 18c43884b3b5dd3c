from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from bench.data.frames import SPLITS, frame
from bench.data.splitting import split_by_hash

Row = tuple[str, str, str | None]

ROWS = st.lists(
    st.tuples(st.integers(0, 60), st.sampled_from("ab"), st.none() | st.integers(0, 12)), min_size=1, max_size=80
)


def _split(rows: list[Row]) -> dict[str, list[Row]]:
    found = split_by_hash(frame((text, style, "c", document) for text, style, document in rows))
    return {split: list(part[["text", "style", "document"]].itertuples(index=False)) for split, part in found.items()}


@settings(max_examples=100, deadline=None)
@given(ROWS)
def test_every_row_is_in_one_split_and_no_text_or_document_in_two(
    drawn: list[tuple[int, str, int | None]],
) -> None:
    rows: list[Row] = [(f"text {text}", style, None if d is None else f"document {d}") for text, style, d in drawn]
    splits = _split(rows)
    assert Counter(row for part in splits.values() for row in part) == Counter(rows)
    for column in (0, 2):
        names = [{row[column] for row in part} - {None} for part in splits.values()]
        assert sum(map(len, names)) == len(set().union(*names))
    assert {style for _, style, _ in splits["train"]} == {style for _, style, _ in rows}
    again = _split(rows[::-1])
    assert {split: Counter(part) for split, part in again.items()} == {s: Counter(part) for s, part in splits.items()}


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 80), min_size=1, max_size=4))
def test_without_documents_each_style_gives_a_tenth_of_its_texts(counts: list[int]) -> None:
    rows: list[Row] = [(f"{style} {i % 60}", f"s{style}", None) for style, n in enumerate(counts) for i in range(n)]
    splits = _split(rows)
    for style, n in enumerate(counts):
        different = min(n, 60)
        found = {split: len({t for t, s, _ in part if s == f"s{style}"}) for split, part in splits.items()}
        tenth = max(1, (different + 5) // 10)
        assert found["test"] == min(tenth, different - 1)
        assert found["validation"] == min(tenth, max(0, different - found["test"] - 1))


def test_documents_of_a_usual_size_give_about_a_tenth_whole() -> None:
    rows: list[Row] = [(f"{s} {i}", s, f"{s} {i // 7}") for s in ("ann", "bob") for i in range(700)]
    splits = _split(rows)
    for style in ("ann", "bob"):
        assert [sum(s == style for _, s, _ in splits[split]) for split in SPLITS] == [560, 70, 70]


def test_a_style_of_one_document_stays_in_train_and_one_of_three_is_everywhere() -> None:
    rows: list[Row] = [(f"ann {i}", "ann", "novel") for i in range(50)]
    rows += [(f"bob {i}", "bob", f"essay {min(i // 10, 2)}") for i in range(50)]
    splits = _split(rows)
    assert {s: Counter(style for _, style, _ in part) for s, part in splits.items()} == {
        "train": {"ann": 50, "bob": 30},
        "validation": {"bob": 10},
        "test": {"bob": 10},
    }
