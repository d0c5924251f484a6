"""The look-up of vulnerabilities fails for one that is known, and skips with a reason where there is no network."""

from __future__ import annotations

import sys

from tests.dependencies import audit, verdict

KNOWN = {"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["2.1"], "description": ""}
NOT_FOUND = {"name": "b", "skip_reason": "not found on PyPI"}


def report(*vulnerabilities):
    return {"dependencies": [{"name": "a", "version": "2.0", "vulns": list(vulnerabilities)}, NOT_FOUND]}


def test_a_known_vulnerability_fails_with_what_mends_it_unless_it_is_accepted():
    code, sentence = verdict(report(KNOWN), {})
    assert code == 1
    assert "a 2.0: CVE-1, PYSEC-1; mended in 2.1" in sentence
    assert verdict(report(KNOWN), {"CVE-1": "not reached"}) == (0, "no vulnerability is known of 1 of 2 packages")
    assert verdict(report(), {})[0] == 0


def test_without_an_answer_it_skips_with_the_reason():
    assert verdict({"dependencies": [NOT_FOUND]}, {})[1].startswith("skipped: none of 1 packages could be looked up")
    fails = (sys.executable, "-c", "import sys; sys.exit('ConnectionError: no route')")
    assert audit(fails) == (0, "skipped: the lists of vulnerabilities cannot be reached: ConnectionError: no route")
    hangs = (sys.executable, "-c", "import time; time.sleep(60)")
    assert audit(hangs, 0.5) == (0, "skipped: the lists of vulnerabilities did not answer within 0.5 s")
