"""That size and operations are those that are counted by hand."""

from __future__ import annotations

import pytest

from salign.models import Classifier, Cost, count_cost


def test_a_real_network_is_counted_as_published() -> None:
    """MobileNetV3 Small has 56 million multiply-adds and 2.5 million parameters (arXiv 1905.02244, table 4)."""
    cost = count_cost(Classifier("mobilenetv3_small_100", [f"class {k}" for k in range(1000)], image_size=224))
    assert cost.multiply_adds / 1e6 == pytest.approx(56, abs=1.5)
    assert cost.parameters / 1e6 == pytest.approx(2.54, abs=0.01)
    assert cost.binary_operations == 0
    assert cost.bytes >= 4 * cost.parameters


def test_a_vit_counts_its_attention() -> None:
    """One block of `test_vit` is counted by hand: 100 patches and a class token of 64 numbers, six blocks."""
    cost = count_cost(Classifier("test_vit", ["a", "b"], image_size=160, args={"global_pool": "avg"}))
    tokens, width = 101, 64
    block = tokens * width * 3 * width + 2 * tokens * tokens * width + tokens * width * width
    block += 2 * tokens * width * 3 * width
    assert cost.multiply_adds == 100 * 3 * 16 * 16 * width + 6 * block + width * 2


@pytest.mark.parametrize("bits", [1, 32])
def test_a_1_bit_network_is_counted_by_hand(bits: int) -> None:
    classifier = Classifier("reactnet_025", ["a", "b"], image_size=64, args={"binary_weights": bits == 1})
    wide, after = [8, 16, 32, 32, 64, 64, *[128] * 6, 256], [16, 32, 32, 64, 64, *[128] * 6, 256, 256]
    sides = [32, 16, 16, 8, 8, *[4] * 6, 2, 2]
    weights = sum(c * c * 9 + c * d for c, d in zip(wide, after, strict=True))
    filters = sum(c + d for c, d in zip(wide, after, strict=True))
    operations = sum((c * c * 9 + c * d) * s * s for c, d, s in zip(wide, after, sides, strict=True))
    # per filter: batch norm 4, RPReLU 3; per input: the shift before the sign; the stem; the classifier; and batch norm
    # counts its batches
    rest = 7 * filters + sum(2 * c for c in wide) + (3 * 8 * 9 + 4 * 8) + (256 * 2 + 2) + 27
    cost = count_cost(classifier)
    stem = 3 * 8 * 9 * 32 * 32 + 256 * 2
    if bits == 1:
        assert cost[1:] == ((weights + 7) // 8 + 4 * (rest + filters), stem, operations)
    else:
        assert cost[1:] == (4 * (weights + rest), stem + operations, 0)


def test_it_is_said_in_units() -> None:
    assert str(Cost(1_782_690, 312_345, 222_000, 23_400_000)) == (
        "1.78 M parameters, 0.312 MB, 222 k multiply-adds and 23.4 M of one bit per image"
    )
    assert str(Cost(900, 3600, 2_500_000_000, 0)) == "900 parameters, 0.0036 MB, 2.5 G multiply-adds per image"
