"""What several processes of one job print: once what all of them would say."""

import pytest

from vivavoce.cli import output

JOB = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}


def join(monkeypatch, rank: int) -> None:
    for name, value in {**JOB, "RANK": str(rank), "LOCAL_RANK": str(rank)}.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize(("rank", "lines"), [(None, 1), (0, 1), (1, 0)])
def test_one_process_of_a_job_prints_the_result(monkeypatch, capsys, rank, as_json, lines):
    if rank is not None:
        join(monkeypatch, rank)
    output.emit({"run": "a"}, as_json, lambda result: print(result["run"]))
    assert len(capsys.readouterr().out.splitlines()) == lines


@pytest.mark.parametrize(("rank", "waits"), [(None, []), (0, []), (1, [output.FIRST_REPORTS_S])])
def test_an_error_is_said_by_the_first_process_before_others_would_say_it(monkeypatch, capsys, rank, waits):
    """torchrun ends the others as soon as one has failed; what only another met is not lost."""
    if rank is not None:
        join(monkeypatch, rank)
    waited: list[float] = []
    monkeypatch.setattr(output.time, "sleep", waited.append)
    assert output.fail("It is not possible.") == 2
    assert waited == waits
