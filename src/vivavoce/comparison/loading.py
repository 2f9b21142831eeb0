"""The systems of a comparison, read from score files and scored with runs, on the same trials."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from vivavoce.comparison.same_trials import on_trials
from vivavoce.corpus.manifest import Row, read_rows
from vivavoce.errors import UserError
from vivavoce.evaluation.scores import TrialScores, read_scores
from vivavoce.evaluation.trials.files import read_trials, read_trials_of
from vivavoce.evaluation.trials.making import make_trials
from vivavoce.evaluation.trials.names import Names, UnknownName
from vivavoce.evaluation.trials.table import Trials, number, references

Score = Callable[[Path, Path, Trials], TrialScores]


def load_systems(
    places: Sequence[Path],
    score: Score,
    manifest: Path | None = None,
    trials: Path | None = None,
    names: Sequence[str] | None = None,
) -> list[TrialScores]:
    """Read or score each system on the trials of the comparison.

    These are of ``trials``, or else of the first score file, or else made from the manifest. With a manifest, names in
    score files are taken for its recordings, and it says who speaks.

    Args:
        places: a run folder or a score file for each system.
        score: scores trials with a run, ``(run, manifest, trials)``.
        manifest: the recordings; runs need them.
        trials: a list of trials; score files may hold others besides.
        names: of the systems; None: those of the files and folders.

    Raises:
        UserError: there are fewer than two systems, names are missing or double, a run has no manifest, or something
            cannot be read or scored.
    """
    called = _names(places, names)
    runs = [place.is_dir() for place in places]
    if any(runs) and manifest is None:
        run = places[runs.index(True)]
        raise UserError(f"{run} is a run folder, which scores recordings; give their manifest with --on.")
    rows = None if manifest is None else read_rows(manifest)
    given = None
    if trials is not None:
        given = read_trials(trials) if rows is None else read_trials_of(trials, rows)
    files = _read_files([place for place, run in zip(places, runs, strict=True) if not run], given, rows)
    listed = _trials(given, files, rows)
    found = []
    for place, name in zip(places, called, strict=True):
        if place.is_dir() and manifest is not None:
            one = replace(score(place, manifest, listed), name=name)
        else:
            one = replace(files.pop(0), name=name)
            one = one if given is None else on_trials(one, listed)
        found.append(one)
    return found


def _names(places: Sequence[Path], names: Sequence[str] | None) -> list[str]:
    if len(places) < 2:
        raise UserError("A comparison needs two systems; give two or more run folders or score files.")
    if names is None:
        found = [place.resolve().name if place.is_dir() else place.stem for place in places]
        if len(set(found)) < len(found):
            found = [str(place) for place in places]
        return [f"{name} ({found[:i].count(name) + 1})" if name in found[:i] else name for i, name in enumerate(found)]
    if len(names) != len(places) or not all(names):
        raise UserError(f"--names gives {len(names)} names for {len(places)} systems; give one each, joined by commas.")
    double = next((name for name in names if names.count(name) > 1), None)
    if double is not None:
        raise UserError(f"--names calls two systems {double}; give each a name of its own.")
    return list(names)


def _read_files(places: Sequence[Path], given: Trials | None, rows: Sequence[Row] | None) -> list[TrialScores]:
    """Read score files, their names spelled as the manifest does."""
    found: list[TrialScores] = []
    for place in places:
        truths = given if given is not None else found[0].trials if found else None
        one = _read(place, truths)
        found.append(one if rows is None else replace(one, trials=_spelled(one.trials, rows, place.parent)))
    return found


def _read(place: Path, truths: Trials | None) -> TrialScores:
    try:
        return read_scores(place)
    except UserError:
        if truths is None:
            raise
        # A list of scores without truths can be read by the trials alone; whatever else is wrong is said again.
        return read_scores(place, truths)


def _trials(given: Trials | None, files: Sequence[TrialScores], rows: Sequence[Row] | None) -> Trials:
    if given is not None:
        return given
    if files:
        return files[0].trials if rows is None else files[0].trials.with_speakers(rows)
    return make_trials(rows or [])


def _spelled(trials: Trials, rows: Sequence[Row], folder: Path) -> Trials:
    """Spell recordings as the manifest does; names that it does not know stay, for `with_speakers` to refuse."""
    names = Names(references(rows), folder, loosely=True)

    def spell(name: str) -> str:
        try:
            return names.find(name)
        except UnknownName:
            return name

    enrolments, enrolment = number([tuple(map(spell, members)) for members in trials.enrolments])
    tests, test = number([spell(name) for name in trials.tests])
    speakers = trials.speakers if len(enrolments) == len(trials.enrolments) else None
    test_speakers = trials.test_speakers if len(tests) == len(trials.tests) else None
    return Trials(
        enrolments,
        tests,
        enrolment[trials.enrolment],
        test[trials.test],
        trials.label,
        trials.drawn,
        speakers,
        test_speakers,
    )
