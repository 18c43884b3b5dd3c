"""Where to write names so that they cover neither points nor each other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

Box: TypeAlias = tuple[float, float, float, float]
"""Left, bottom, right, top."""

OFFSETS = {
    "middle right": (1.0, 0.0, "left", "center"),
    "middle left": (-1.0, 0.0, "right", "center"),
    "top center": (0.0, 1.0, "center", "bottom"),
    "bottom center": (0.0, -1.0, "center", "top"),
    "top right": (0.7, 0.7, "left", "bottom"),
    "bottom right": (0.7, -0.7, "left", "top"),
    "top left": (-0.7, 0.7, "right", "bottom"),
    "bottom left": (-0.7, -0.7, "right", "top"),
}
"""The sides of a point as plotly calls them: the direction, and how text there is aligned."""
NEAR, FAR = 7.0, (16.0, 28.0, 42.0)
LETTER, LINE = 5.4, 9.8
"""A bold letter's mean width and a line's height at 8 points."""
POINT, STROKE = 4.0, 1.0
ROOM = 8.0
"""A name keeps so far from other points, or it would seem to be theirs."""
CROWDED, TOO_CROWDED = 60.0, 1500.0
"""So many square points of marks may a name cover, and one that is needed."""
SLACK = 20.0
"""So much of a name may lie outside the panel or on another: letters don't fill their boxes."""


@dataclass(frozen=True)
class Label:
    """A name of one line or more on one side of its point, `distance` points away; a far one needs a line to it."""

    place: int
    text: str
    side: str
    distance: float

    @property
    def far(self) -> bool:
        """Whether something may stand between the name and its point."""
        return self.distance > NEAR


def put_labels(
    texts: Mapping[int, str],
    needed: Collection[int],
    points: Mapping[int, tuple[float, float]],
    lines: Sequence[Box],
    panel: tuple[float, float],
) -> list[Label]:
    """Place the texts one after the other where each covers least; leave out what finds no place inside the panel.

    Those of `needed` may stand further from their point and cover more, but no other name.
    `points` are all points by their place, `lines` what else is drawn, upright or level; both, like the panel's width
    and height, in points of 1/72 inch.
    """
    strokes = [_around(box, STROKE) for box in lines]
    labels: list[Label] = []
    for place, text in texts.items():
        distances = (NEAR, *FAR) if place in needed else (NEAR,)
        tried = [Label(place, text, side, distance) for distance, side in product(distances, OFFSETS)]
        dots = [_around((*at, *at), POINT + ROOM * (other != place)) for other, at in points.items()]
        names = [_box(label, points[label.place]) for label in labels]
        costs = [_cost(_box(label, points[place]), strokes + dots, names, panel) + label.distance for label in tried]
        if min(costs) < (TOO_CROWDED if place in needed else CROWDED):
            labels.append(tried[costs.index(min(costs))])
    return labels


def _box(label: Label, point: tuple[float, float]) -> Box:
    dx, dy, across, up = OFFSETS[label.side]
    x, y = point[0] + dx * label.distance, point[1] + dy * label.distance
    lines = label.text.split("\n")
    wide, high = LETTER * max(map(len, lines)), LINE * len(lines)
    left = x - wide * {"left": 0.0, "center": 0.5, "right": 1.0}[across]
    bottom = y - high * {"bottom": 0.0, "center": 0.5, "top": 1.0}[up]
    return left, bottom, left + wide, bottom + high


def _around(box: Box, room: float) -> Box:
    return box[0] - room, box[1] - room, box[2] + room, box[3] + room


def _cost(box: Box, marks: list[Box], names: list[Box], panel: tuple[float, float]) -> float:
    """The area of marks that it covers, in square points; infinite where it covers a name or leaves the panel."""
    outside = (box[2] - box[0]) * (box[3] - box[1]) - _overlap(box, (0.0, 0.0, *panel))
    if outside + sum(_overlap(box, name) for name in names) > SLACK:
        return math.inf
    return sum(_overlap(box, mark) for mark in marks)


def _overlap(one: Box, other: Box) -> float:
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, wide) * max(0.0, high)
