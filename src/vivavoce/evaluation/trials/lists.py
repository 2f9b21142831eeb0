"""Trial lists as VoxCeleb and ASVspoof publish them.

- VoxCeleb: a line is ``label enrolment test``; the label is 1 for the same speaker, 0 for another one. Source: Nagrani,
  Chung, Zisserman, "VoxCeleb: a large-scale speaker identification dataset", Interspeech 2017; its files veri_test.txt.
- ASVspoof: a line holds a speaker model, a test recording, further columns, the attack (``bonafide``: none) and the key
  (``target``, ``nontarget``, ``spoof``). A second list says which recordings enrol each model: ``model name,name``.
  Source: README files of the databases ASVspoof 2019 LA and PA (4 and 5 columns), 2021 LA (8 columns, the attack and
  the key in the fifth and sixth) and ASVspoof 5, track 2 (5 columns), and the key files of its evaluation package.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from vivavoce.corpus.metadata import Kind
from vivavoce.errors import UserError
from vivavoce.evaluation.trials.formats import ListFormat
from vivavoce.evaluation.trials.lines import ATTACK, OTHER, Column, Lines, tabulate
from vivavoce.evaluation.trials.names import relative_names, without_ending
from vivavoce.evaluation.trials.table import LABELS, NONTARGET, TARGET, Trials, spread
from vivavoce.files import atomic_path

BONAFIDE, SPOOF = "bonafide", "spoof"
_KEYS = (TARGET, NONTARGET, SPOOF)
# Attacks of ASVspoof whose kind their databases state: A01 and so on are synthetic or converted voices (2019 LA, 2021
# LA, 5); AA to CC are simulated replays, distance and quality of the loudspeaker (2019 PA).
_ATTACKS = ((re.compile(r"A\d\d"), Kind.TTS), (re.compile(r"[ABC]{2}"), Kind.REPLAY_STAND))

Records = Iterator[tuple[int, Sequence[str]]]


def recognise(first: str, path: Path) -> ListFormat:
    """Tell the format of a list by its first line that is not empty.

    Raises:
        UserError: the line may belong to a VoxCeleb or to an ASVspoof list.
    """
    fields = first.split()
    voxceleb = len(fields) == 3 and fields[0] in ("0", "1")
    asvspoof = "," not in first and (_is_header(fields) or _key_place(fields) is not None)
    if voxceleb and asvspoof:
        raise UserError(
            f"{path} may be a list of VoxCeleb ({fields[0]}, enrolment, test) or of ASVspoof (model, test, "
            f"{fields[2]}); write it as CSV with the columns enrol, test, label."
        )
    return ListFormat.VOXCELEB if voxceleb else ListFormat.ASVSPOOF if asvspoof else ListFormat.CSV


def read_voxceleb(file: Iterable[str], path: Path) -> Lines:
    """Read a VoxCeleb list; whoever is not the target is another speaker, or an attack if the manifest says so.

    Raises:
        UserError: a line has not three fields, or begins with neither 0 nor 1.
    """

    def records() -> Records:
        for line, fields in _fields(file):
            if len(fields) != 3 or fields[0] not in ("0", "1"):
                raise UserError(
                    f"{path}, line {line}: {' '.join(fields)} is not a label (1 or 0), an enrolment and a test, as "
                    "the lines before; correct it."
                )
            yield line, fields

    numbers, (label, enrol, test) = tabulate(records(), (0, 1, 2))
    words = Column([TARGET if text == "1" else OTHER for text in label.texts], label.codes)
    return Lines(path, numbers, [(text,) for text in enrol.texts], enrol, test, words)


def read_asvspoof(file: Iterable[str], path: Path) -> Lines:
    """Read an ASVspoof list and the enrolment list beside it.

    Raises:
        UserError: a line lacks the key, or no enrolment list beside the file enrols one of the models.
    """
    place: int | None = None

    def records() -> Records:
        nonlocal place
        for line, fields in _fields(file):
            if place is None and _is_header(fields):
                continue
            place = _key_place(fields) if place is None else place
            key = fields[place] if place is not None and place < len(fields) else ""
            if place is None or key not in _KEYS:
                raise UserError(
                    f"{path}, line {line}: the key ({', '.join(_KEYS)}) is missing or stands elsewhere than above; "
                    "correct it."
                )
            attack = fields[place - 1] if place > 2 else ""
            yield line, (fields[0], fields[1], _label(key, attack))

    numbers, (model, test, label) = tabulate(records(), (0, 1, 2))
    enrolled = _read_enrolments(path)
    lines = Lines(
        path, numbers, [enrolled.get(name, ()) for name in model.texts], model, test, label, {"speaker": model}
    )
    for code, members in enumerate(lines.enrolments):
        if not members:
            places = " or ".join(str(one) for one in enrolment_lists(path))
            raise lines.refuse(
                model, code, f"the list {places} does not say what enrols {model.texts[code]}; put it there."
            )
    return lines


def write_voxceleb(trials: Trials, path: Path, known: Sequence[str] | None = None) -> None:
    """Write a VoxCeleb list with paths below the folder that all recordings share, atomically.

    Args:
        trials: target and non-target trials of one enrolment recording each.
        path: the list.
        known: all recordings of the manifest, whose common folder counts; None: those of the trials.

    Raises:
        UserError: an enrolment has several recordings, a trial is an attack, or a name holds a space.
    """
    several = max((len(members) for members in trials.enrolments), default=1)
    if several > 1:
        raise UserError(
            f"A VoxCeleb list has one enrolment recording a trial, and these trials have up to {several}; enrol with "
            "one, or write an ASVspoof list."
        )
    attacks = int((~trials.is_target & ~trials.is_nontarget).sum())
    if attacks:
        raise UserError(
            f"A VoxCeleb list knows no attacks, and {attacks} of these trials are some; leave them out, or write an "
            "ASVspoof list."
        )
    short = _short_names(trials, known, path, endings=True)
    enrolments = spread([short[members[0]] for members in trials.enrolments], trials.enrolment)
    tests = spread([short[name] for name in trials.tests], trials.test)
    labels = spread(["1" if label == TARGET else "0" for label in LABELS], trials.label)
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(
            f"{label} {enrol} {test}\n" for label, enrol, test in zip(labels, enrolments, tests, strict=True)
        )


def write_asvspoof(trials: Trials, path: Path, known: Sequence[str] | None = None) -> Path:
    """Write an ASVspoof list (four columns, as 2019 LA) and its enrolment list, both whole or neither.

    A model is called by its speaker, and recordings by their names without ending where these are distinct. Recordings
    whose probe is absent or jammed count as spoof there; their kind stands in the column of the attack.

    Args:
        trials: any trials.
        path: the list of trials.
        known: all recordings of the manifest, in which names are to be distinct; None: those of the trials.

    Returns:
        The path of the enrolment list.

    Raises:
        UserError: a name holds a space or a comma.
    """
    short = _short_names(trials, known, path, endings=False)
    models = _models(trials)
    keys = [f"{BONAFIDE} {label}" if label in (TARGET, NONTARGET) else f"{label} {SPOOF}" for label in LABELS]
    columns = (
        spread(models, trials.enrolment),
        spread([short[name] for name in trials.tests], trials.test),
        spread(keys, trials.label),
    )
    beside = enrolment_lists(path)[0]
    with atomic_path(path) as first, atomic_path(beside) as second:
        with second.open("w", encoding="utf-8", newline="\n") as file:
            for model, members in zip(models, trials.enrolments, strict=True):
                file.write(f"{model} {','.join(short[name] for name in members)}\n")
        with first.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(f"{model} {test} {key}\n" for model, test, key in zip(*columns, strict=True))
    return beside


def enrolment_lists(path: Path) -> list[Path]:
    """Where the enrolment list of an ASVspoof list is looked for, the place where ours is written first.

    2019 calls them ``.trl.`` and ``.trn.``, with the two sexes apart where the trials are of both (``.gi.``);
    ASVspoof 5 ``trial`` and ``enroll``. Any other list has ``.enrol`` before its ending.
    """
    name = path.name
    if ".trl." in name:
        whole = path.with_name(name.replace(".trl.", ".trn."))
        apart = [path.with_name(whole.name.replace(".gi.", f".{sex}.")) for sex in ("female", "male")]
        return [whole, *(apart if ".gi." in name else [])]
    if ".trial." in name:
        return [path.with_name(name.replace(".trial.", ".enroll."))]
    return [path.with_name(f"{path.stem}.enrol{path.suffix}")]


def _read_enrolments(path: Path) -> dict[str, tuple[str, ...]]:
    """The recordings of each model, of all enrolment lists that are there."""
    found: dict[str, tuple[str, ...]] = {}
    for beside in enrolment_lists(path):
        if not beside.is_file():
            continue
        try:
            with beside.open(encoding="utf-8-sig") as file:
                records = list(_fields(file))
        except UnicodeDecodeError as error:
            raise UserError(f"{beside} is not a text file ({error}); export it as UTF-8.") from error
        for line, (model, *names) in records:
            members = tuple(name for text in names for name in text.split(",") if name)
            if found.setdefault(model, members) != members:
                raise UserError(f"{beside}, line {line}: {model} was enrolled otherwise before; keep one of the two.")
    return found


def _fields(file: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    for line, text in enumerate(file, start=1):
        fields = text.split()
        if fields:
            yield line, fields


def _is_header(fields: Sequence[str]) -> bool:
    """The first line of a key file of ASVspoof 5's evaluation package: spk, filename, cm-label, asv-label."""
    return fields[:2] == ["spk", "filename"]


def _key_place(fields: Sequence[str]) -> int | None:
    """The column of the key: the last one behind model and test that holds such a word."""
    places = [place for place, text in enumerate(fields) if place > 1 and text in _KEYS]
    return places[-1] if places else None


def _label(key: str, attack: str) -> str:
    if key != SPOOF:
        return key
    if attack in LABELS[2:]:
        return attack
    return next((kind.value for form, kind in _ATTACKS if form.fullmatch(attack)), ATTACK)


def _short_names(trials: Trials, known: Sequence[str] | None, path: Path, endings: bool) -> dict[str, str]:
    """What to call each recording of the trials: as shortly as the lists do, and no two alike."""
    used = dict.fromkeys([name for members in trials.enrolments for name in members] + list(trials.tests))
    among = list(dict.fromkeys([*(known or ()), *used]))
    below = relative_names(among)
    forms = [below, among]
    if not endings:
        bare = [without_ending(name) for name in below]
        forms = [[name.rsplit("/", 1)[-1] for name in bare], bare, *forms]
    names = next(form for form in forms if len(set(form)) == len(among))
    short = dict(zip(among, names, strict=True))
    bad = next((name for name in used if re.search(r"[\s,]", short[name])), None)
    if bad is not None:
        raise UserError(
            f"The name of {bad} holds a space or a comma, which {path} cannot hold within a name; rename that "
            "recording, or write CSV."
        )
    return short


def _models(trials: Trials) -> list[str]:
    """A distinct name of each enrolment: its speaker's; where one has several enrolments, all are numbered."""
    wanted = trials.speakers or ["model"] * len(trials.enrolments)
    plain = ["_".join(re.split(r"[\s,]+", name)) for name in wanted]
    if len(set(plain)) == len(plain):
        return plain
    return [f"{name}-{place + 1}" for place, name in enumerate(plain)]
