"""Find what is wrong with the images, maps and rows of a manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from salign.index import lazy_index

if TYPE_CHECKING:
    from salign.data.checks.check import Report as Report, check as check, check_file as check_file
    from salign.data.checks.deduplicate import without_duplicates as without_duplicates
    from salign.data.checks.duplicates import near_pairs as near_pairs
    from salign.data.checks.map_similarity import shuffled_correlation as shuffled_correlation
    from salign.data.checks.report import write_report_html as write_report_html

lazy_index(__name__)
