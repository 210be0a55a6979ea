"""What standard methods share: when an etag no longer holds."""

from __future__ import annotations

from plantctl.sandbox import standard


def test_an_etag_in_the_other_alphabet_of_base64_is_the_same() -> None:
    assert not standard.stale("A-wR3NMtS_Hb", "A+wR3NMtS/Hb")
    assert not standard.stale("A+wR3NMtS/Hb", "A+wR3NMtS/Hb")
    assert standard.stale("A-wR3NMtS_Hc", "A+wR3NMtS/Hb")
    assert standard.stale(None, "A+wR3NMtS/Hb")
    assert not standard.stale(None, None)
    assert not standard.stale(f'"{standard.RECORDED_ETAG}"', "anything")
