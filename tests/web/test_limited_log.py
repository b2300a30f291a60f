from __future__ import annotations

import logging

from salign.web.limited_log import LimitedLog


def test_a_log_says_the_same_once_a_minute_with_how_often(caplog):
    now = [0.0]
    seldom = LimitedLog(logging.getLogger("salign.web"), clock=lambda: now[0])
    for now[0] in (0.0, 1.0, 59.0, 60.5, 61.0):
        seldom.warning("kind", "full of %s", "it")
    seldom.warning("other", "else")
    said = [record.getMessage() for record in caplog.records]
    assert said == ["full of it", "full of it (2 more since the last such line)", "else"]
