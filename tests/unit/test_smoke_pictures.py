"""The references that pictures and boxes are compared with: small cases that one can do by hand."""

from __future__ import annotations

import pytest

from imagekit.smoke import resample
from imagekit.smoke.checks import torchvision_operators as operators


@pytest.mark.parametrize("name", resample.FILTERS)
@pytest.mark.parametrize(("size", "wanted"), [(61, 23), (43, 97), (5, 5), (1, 9)])
def test_weights_sum_to_one_and_stay_inside(name: str, size: int, wanted: int) -> None:
    lines = resample.weights(size, wanted, name)
    assert len(lines) == wanted
    for first, line in lines:
        assert first >= 0 and first + len(line) <= size
        assert sum(line) == pytest.approx(1)


@pytest.mark.parametrize("name", resample.FILTERS)
def test_the_same_size_is_the_same_picture(name: str) -> None:
    picture = resample.noise(7, 5, seed=1)
    assert resample.resize(picture, (7, 5), name) == picture


def test_halves_by_hand() -> None:
    assert resample.resize([[0, 0, 255, 255]], (2, 1), "BILINEAR") == [[36, 219]]  # weights 3, 3, 1 of 7
    assert resample.resize([[0, 100]], (4, 1), "BILINEAR") == [[0, 25, 75, 100]]
    assert (
        min(resample.resize([[0, 0, 255, 255]], (8, 1), "LANCZOS")[0]) == 0
    )  # what falls below 0 does not wrap around


def test_furthest_sees_sizes_too() -> None:
    assert resample.furthest([[1, 2]], [[1, 5]]) == 3
    assert resample.furthest([[1, 2]], [[1]]) == 256


def test_suppression_by_hand() -> None:
    boxes = [[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 8.0], [20.0, 20.0, 30.0, 30.0]]
    assert operators.overlap(boxes[0], boxes[1]) == 0.8
    assert operators.suppressed(boxes, [0.5, 0.9, 0.7], 0.5) == [1, 2]
    assert operators.suppressed(boxes, [0.5, 0.9, 0.7], 0.9) == [1, 2, 0]


def test_rounding_cannot_decide_about_a_box() -> None:
    boxes, scores = operators.random_boxes(operators.BOXES)
    assert len(set(scores)) == operators.BOXES
    overlaps = {operators.overlap(one, other) for one in boxes for other in boxes}
    assert min(abs(value - threshold) for value in overlaps for threshold in operators.THRESHOLDS) > 1e-5


def test_a_line_between_its_pixels() -> None:
    assert operators.between([0.0, 1.0], 4) == [0.0, 0.25, 0.75, 1.0]
    assert operators.between([0.0, 1.0, 2.0, 3.0], 2) == [0.5, 2.5]
