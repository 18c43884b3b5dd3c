from __future__ import annotations

from bench.data import SPLITS, Corpus
from bench.data.frames import frame
from bench.reporting import dataset


def test_many_labels_are_told_in_few_rows() -> None:
    rows = frame((f"text {i}", f"label {i % 25:02}", None, None) for i in range(50))
    corpus = Corpus("some", "local", None, dict.fromkeys(SPLITS, rows), label="class", group=None)
    table = dataset.labels(corpus)
    assert [column.title for column in table.columns] == ["Class", *SPLITS]
    assert [[cell.value for cell in row.cells] for row in table.rows[-3:]] == [
        ["label 19", 2, 2, 2],
        ["5 more classes", 10, 10, 10],
        ["all", 50, 50, 50],
    ]
    assert [column.title for column in dataset.first_rows(corpus).columns] == ["Class", "text"]


def test_the_first_rows_have_a_pair_and_its_group() -> None:
    rows = frame([("one", "a", "g", None)]).assign(pair="two")
    corpus = Corpus("some", "local", None, dict.fromkeys(SPLITS, rows), label="label", group="genre")
    table = dataset.first_rows(corpus)
    assert [column.title for column in table.columns] == ["Label", "text", "second text", "genre"]
    assert [cell.value for cell in table.rows[0].cells] == ["a", "one", "two", "g"]
