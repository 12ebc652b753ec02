import pytest

from gecalign.claims import claim


def test_a_claim_that_holds_is_printed_with_a_tick(capsys):
    claim("Water is wet.", True, "tiny")
    assert capsys.readouterr().out == "✓ Water is wet.\n"


def test_a_false_claim_stops_the_build_on_the_profile_that_the_prose_is_about():
    with pytest.raises(AssertionError, match="Water is dry"):
        claim("Water is dry.", False, "tiny")


def test_a_false_claim_is_marked_on_other_profiles(capsys):
    claim("Water is dry.", False, "smoke")
    assert capsys.readouterr().out.startswith("✗ (not on profile smoke)")
