from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.reporting.latex import escape, render
from bench.reporting.model import Cell, Column, Row, Table, Unit

COLUMNS = (Column("Method"), Column("Accuracy", Unit.SCORE))
KNOWN = (
    r"\\(begin|end|centering|caption|toprule|midrule|bottomrule|emph|pm|times|bullet|\\|[&%$#_{}]|text[a-z]+(?=\{\}))"
)


def _table(name: str) -> Table:
    best = Row((Cell(name, mark=" ●"), Cell(0.375, 0.008, interval=(0.34, 0.41))))
    return Table(COLUMNS, (best, Row((Cell("majority class"), Cell(0.07)), baseline=True)))


def test_a_table_is_whole_and_says_how_to_read_it() -> None:
    reading = r"Mean $\pm$ standard deviation over n seeds (95\% interval). $\bullet$ can{'}t be told from the best."
    assert render([("demo: gpt2_small", _table("lora"))]).splitlines() == [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{demo: gpt2\_small. {reading}}}",
        r"\begin{tabular}{lr}",
        r"\toprule",
        r"{}Method & Accuracy \\",
        r"\midrule",
        r"{}lora $\bullet$ & 37.5\% $\pm$ 0.8 (34.0–41.0) \\",
        r"{}\emph{majority class} & \emph{7.0\%} \\",
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("50% & $5 #1_a {b}", r"50\% \& \$5 \#1\_a \{b\}"),
        ("\\input{x}", r"\textbackslash{}input\{x\}"),
        ("~^<>|", r"\textasciitilde{}\textasciicircum{}\textless{}\textgreater{}\textbar{}"),
        ("a--b---c-d", "a-{}-b-{}-{}-c-d"),
    ],
)
def test_what_latex_would_read_is_printed_as_it_is(text: str, written: str) -> None:
    assert escape(text) == written


@given(st.text() | st.text(alphabet="\\{}$&#^_~%-[]*`'\" ^M\n"))
@settings(deadline=None)
def test_no_name_becomes_a_command_a_cell_or_a_comment(name: str) -> None:
    text = render([(name, _table(name))])
    commands = re.sub(KNOWN, "", text)
    assert "\\" not in commands
    assert not set("#_%~^") & set(commands)
    depth = 0
    for brace in re.findall("[{}]", re.sub(r"\\[{}]", "", text.replace(r"\\", ""))):
        depth += 1 if brace == "{" else -1
        assert depth >= 0
    assert depth == 0
    assert [line.count(" & ") for line in text.splitlines() if line.endswith(r"\\")] == [1, 1, 1]
