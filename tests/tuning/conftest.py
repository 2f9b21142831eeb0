import pytest


@pytest.fixture
def drawn() -> None:
    """Asked for by a test that looks at the report of a search."""


@pytest.fixture(autouse=True)
def undrawn(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """No other search draws one, which would take a third of its time."""
    if "drawn" not in request.fixturenames:
        monkeypatch.setattr("vivavoce.tuning.tuner.write_report", lambda *_: None)
