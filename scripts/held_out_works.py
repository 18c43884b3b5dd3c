"""Write the demo's harder question, works that training has never seen: python scripts/held_out_works.py DIR

The embedded backbone has: it was pretrained on the demo's train documents, which are of all works.
"""

from __future__ import annotations

from pathlib import Path  # noqa: TC003  typer reads it
from typing import Annotated

import typer

from bench.data.frames import SPLITS, Split
from bench.data.open_authors import WORKS, divide, passages

HELD_OUT: dict[Split, tuple[str, ...]] = {
    "validation": (
        *(f"Federalist {number}" for number in (5, 12, 14, 29, 48, 66, 81)),
        *("Jane Eyre, excerpt 6", "Wuthering Heights, excerpt 6", "Agnes Grey, excerpt 8"),
        *("Afloat and Ashore", "Fanshawe", "Old Christmas", "Pudd'nhead Wilson", "Maggie"),
        *("Othello", "The Jew of Malta", "Volpone"),
    ),
    "test": (
        *(f"Federalist {number}" for number in (8, 16, 23, 27, 34, 41, 44, 46, 60, 64, 69, 72, 76, 83)),
        *(f"{novel}, excerpt {number}" for novel in ("Jane Eyre", "Wuthering Heights") for number in (7, 8)),
        *(f"Tenant of Wildfell Hall, excerpt {number}" for number in range(1, 9)),
        *("The Red Rover", "The Wept of Wish-ton-Wish", "Doctor Grimshawe's Secret", "The Blithedale Romance"),
        *("The Adventures of Captain Bonneville", "A Connecticut Yankee", "A Tramp Abroad", "The Little Regiment"),
        *("King Lear", "A Midsummer Night's Dream", "Doctor Faustus", "The Alchemist"),
    ),
}
"""The works of each split; the others are train's. Jane Eyre and Wuthering Heights, their authors' only novels here,
are divided by excerpts, and The Federalist by papers."""


def main(folder: Annotated[Path, typer.Argument(help="A new folder, for `bench run --data`.")]) -> None:
    """Write train, validation and test as JSON lines: as many passages as the demo's, but of different works."""
    folder.mkdir(parents=True)
    belongs = {name: split for split, names in HELD_OUT.items() for name in names}
    chosen = {split: [work for work in WORKS if belongs.get(work.name, "train") == split] for split in SPLITS}
    dealt = {split: [document for work in works for document in divide(work)] for split, works in chosen.items()}
    for split, rows in passages(dealt).items():
        rows.to_json(folder / f"{split}.jsonl", orient="records", lines=True, force_ascii=False)
        typer.echo(f"{folder / f'{split}.jsonl'}: {len(rows):,} passages of {len(chosen[split])} works")


if __name__ == "__main__":
    typer.run(main)
