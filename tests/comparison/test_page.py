"""The page stands alone, holds every figure and difference, and escapes what comes from outside."""

import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np

from vivavoce.comparison.comparing import compare
from vivavoce.comparison.page import write_page

from .made import make_scores, make_trials

TRIALS = make_trials()
SYSTEMS = [make_scores(name, TRIALS, seed=turn, threshold=1.0) for turn, name in enumerate(("ours", "peer", "third"))]


def test_the_page_is_one_file_with_every_difference(tmp_path: Path) -> None:
    found = compare(SYSTEMS, resamples=199)
    write_page(found, SYSTEMS, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "http" not in page.replace("http://www.w3.org", "")
    assert "<script" not in page
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!data:|#)""", page)
    # A picture of each pair, and the users against others and against attacks.
    assert page.count("<svg") == page.count("</svg>") == 5
    assert page.count("<tr") == 2 + len(found.differences) + len(found.figures)
    assert found.headline in page
    assert all(one.verdict in unescape(page) for one in found.differences)
    assert "p_target=0.9405" in page
    assert "Thresholds fixed beforehand: ours 1.000, peer 1.000, third 1.000." in page


def test_names_from_outside_are_escaped(tmp_path: Path) -> None:
    evil = [replace(SYSTEMS[0], name="<b>evil</b>"), replace(SYSTEMS[1], name="&amp")]
    write_page(compare(evil, resamples=99), evil, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "<b>evil" not in page
    assert "&lt;b&gt;evil" in page
    assert "&amp;amp" in page


def test_a_comparison_without_attacks_has_the_users_against_others_alone(tmp_path: Path) -> None:
    trials = make_trials(attacks=())
    pair = [make_scores(name, trials, seed=turn) for turn, name in enumerate("ab")]
    pair[0].score[np.flatnonzero(trials.is_target)[:3]] = np.nan
    write_page(compare(pair, resamples=99), pair, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert page.count("<svg") == 2
    assert "a gives no answer on 3 trials" in page
