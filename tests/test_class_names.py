from __future__ import annotations

import pytest

from salign.class_names import called_from, in_few_digits


@pytest.mark.parametrize(
    ("probability", "text"),
    [
        (0.5002768755835691, "0.5003"),
        (0.1 + 0.2, "0.3"),
        (0.0000123456, "1.235e-05"),
        (0.99999, "0.99999"),
        (1 - 2**-53, "0.9999999999999999"),
        (1.0, "1"),
        (1.0000001, "1.0000001"),
        (0.0, "0"),
    ],
)
def test_a_threshold_is_short_and_is_1_only_where_it_is(probability, text):
    assert in_few_digits(probability) == text
    assert f" of {text} on (rule eer, chosen on validation)" in called_from("cat", probability, "eer")
