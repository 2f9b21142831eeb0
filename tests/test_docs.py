"""The documentation holds: its commands run, its options exist, its output is what is printed, its links lead on."""

import contextlib
import importlib.util
import io
import re
import runpy
import shutil
import sys
import tomllib
from pathlib import Path

import pytest
import torch
import typer.main

import vivavoce.audit.checks  # noqa: F401 - fills the registry
from vivavoce.audit.registry import CHECKS
from vivavoce.cli.app import app
from vivavoce.config import ExperimentConfig
from vivavoce.encoders.registry import KINDS, form
from vivavoce.evaluation.calibration.parts import Calibration, LivenessCalibration, PartCalibration
from vivavoce.evaluation.metrics.spoofing import ASVSPOOF5
from vivavoce.evaluation.report.glossary import TERMS, Term
from vivavoce.evaluation.verdict import Answer, Evidence, decide
from vivavoce.experiment import build_model
from vivavoce.features.augment import table
from vivavoce.settings import load_settings
from vivavoce.signal.quality import ProbeQuality
from vivavoce.simulate.config import SimulationConfig
from vivavoce.stress.config import CURVE_NAMES

from .docs_pages import PAGES, ROOT, Block, Command, blocks, commands, furnish
from .server import lab, sshd
from .tiny import Result, Tiny, run_cli

LINK = re.compile(r"\]\(([^)\s]+)\)")
NUMBER = re.compile(r"-?\d+(\.\d+)?")
# What keeps a command of a page short here; none of it changes what the page says.
SMALL = {
    "train": (
        *("--set", "model.trunk={channels: 16, pooled_channels: 32, embedding_dim: 16}"),
        *("--set", "model.head={channels: 16, dilations: [1, 2]}", "--set", "training.epochs=1"),
        *("--set", "training.workers=1", "--set", "training.device=cpu", "--set", "training.log_every=1"),
    ),
    "lr-find": (
        *("--set", "model.trunk={channels: 16, pooled_channels: 32, embedding_dim: 16}", "--steps", "30"),
        *("--set", "model.head={channels: 16, dilations: [1, 2]}", "--set", "training.workers=1"),
    ),
    "simulate": ("--workers", "1"),
    "stress": ("--levels", "snr=20", "--max-recordings", "10", "--set", "resamples=100", "--workers", "1"),
    "tune": (
        *("--trials", "1", "--set", "model.trunk={channels: 16, pooled_channels: 32, embedding_dim: 16}"),
        *("--set", "model.head={channels: 16, dilations: [1, 2]}", "--set", "training.workers=1"),
        *("--set", "training.epochs=1"),
    ),
}
LONG = ("quickstart",)
# What ends when its user says so.
WAITING = (("server", "notebook"), ("server", "tensorboard"))
EVALUATION = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
# A block that names these recordings needs them; the others do without.
REAL = "../shared/data"


def runnable(page: Path) -> list[Block]:
    """The blocks that are more than an example of a format."""
    return [block for block in blocks(page) if block.language in ("bash", "console", "python", "text")]


def test_no_page_and_no_language_is_missed() -> None:
    languages = {page.name: {block.language for block in blocks(page)} for page in PAGES}
    assert languages.keys() >= {"README.md", "guide.md", "data.md", "decisions.md", "benchmarks.md", "liveness.md"}
    assert languages["README.md"] == {"bash", "python"}
    assert languages["guide.md"] == {"bash", "console", "python", "text"}
    assert languages["training.md"] == {"", "bash", "console", "text", "yaml"}
    assert languages["data.md"] == {"bash", "console", "python"}
    assert languages["evaluation.md"] == {"", "bash", "console", "python"}
    assert languages["server.md"] == {"", "bash", "console", "toml"}
    assert languages["benchmarks.md"] == {"bash"}


# Pages that train and evaluate, which README.md does as well; that their options exist is seen at once all the same.
LONG_PAGES = ("data.md", "evaluation.md", "guide.md", "liveness.md", "server.md", "training.md")


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=pytest.mark.slow if page.name in LONG_PAGES else (), id=page.name)
        for page in PAGES
        if runnable(page)
    ],
)
def test_every_block_works(page: Path, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All blocks of a page, in their order, in one folder, as a reader would follow it."""
    torch.set_num_threads(1)
    furnish(tmp_path, tiny)
    monkeypatch.chdir(tmp_path)
    shown = [block for block in runnable(page) if REAL not in block.text]
    if page.name != "server.md":
        follow(shown, monkeypatch)
        return
    if sshd.why_not() or lab.why_not():
        pytest.skip(sshd.why_not() or lab.why_not())
    for name in ("train", "validation", "test"):
        shutil.copytree(getattr(tiny, name).parent, tmp_path / "recordings" / name)
    with lab.open_lab(tmp_path / "lab-server", monkeypatch):
        follow(shown, monkeypatch)


@pytest.mark.parametrize("name", LONG_PAGES)
def test_every_option_of_a_long_page_exists(name: str) -> None:
    shown = [command for block in blocks(ROOT / "docs" / name) for command in commands_of(block)]
    assert shown
    for command in shown:
        if command.words[0] == "vivavoce":
            check_options(list(command.words[1:]), f"{name}: {' '.join(command.words)}")


def commands_of(block: Block) -> list[Command]:
    return commands(block) if block.language in ("bash", "console") else []


@pytest.mark.slow
@pytest.mark.realdata
def test_what_is_shown_of_real_recordings_is_so(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = [block for page in PAGES for block in runnable(page) if REAL in block.text]
    assert shown
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "data").symlink_to(shared_data)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    follow(shown, monkeypatch)


def follow(shown: list[Block], monkeypatch: pytest.MonkeyPatch) -> None:
    """Do what the blocks say, in the present folder."""
    for block in shown:
        if block.language == "python":
            exec(compile(block.text, block.where, "exec"), {"__name__": "__docs__"})
        elif block.language == "text":
            check_tree(block)
        else:
            for command in commands(block):
                check_command(command, f"{block.where}: {' '.join(command.words)}", monkeypatch)


def check_command(command: Command, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run one command, or where that would take long or leave the machine, check that it could be run."""
    program, *words = command.words
    if program == "vivavoce" and tuple(words[:2]) in WAITING:
        check_options(words, where)
    elif program == "vivavoce" and words[0] not in LONG and not any(word.startswith("postgresql:") for word in words):
        # Behind -- stands another command of ours, which runs on the server.
        training = words[words.index("--") + 1] if "--" in words else words[0]
        result = run_cli(*words, *(() if command.fails or "--dry-run" in words else SMALL.get(training, ())))
        # An audit that finds errors has worked, and says so with 1; so has a look at a server.
        finding = words[0] == "audit" or words[:2] == ["server", "add"]
        right = (2,) if command.fails else (0, 1) if finding else (0,)
        assert result.code in right, f"{where}\n{result.err}"
        check_output(command, result, where)
    elif program == "vivavoce":
        check_options(words, where)
    elif program == "torchrun":
        assert importlib.util.find_spec("torch.distributed.run"), where
        check_options(words[words.index("vivavoce") + 1 :], where)
    elif program == "make":
        assert set(words) <= make_targets(), where
    elif program == "python" and words[0].startswith("benchmarks/"):
        check_script(ROOT / words[0], words[1:], where, monkeypatch)
    elif program == "python":
        result = run_script(Path(words[0]), words[1:], monkeypatch)
        assert result.code == 0, f"{where}\n{result.err}"
        check_output(command, result, where)
    elif program == "pip":
        check_extras(words, where)
    elif program == "tensorboard":
        assert importlib.util.find_spec("tensorboard"), where
        assert list(Path(words[words.index("--logdir") + 1]).glob("events.*")), where
    else:
        pytest.fail(f"{where}: a command that this test does not know how to check")


def check_output(command: Command, result: Result, where: str) -> None:
    """What the page shows is printed, each stream in that order; … stands for anything, and numbers may differ.

    A verdict that rests on the model's scores may differ, too, but it must be one that there is.
    """
    printed, position = [normalised(result.out), normalised(result.err)], [0, 0]
    for line in command.shown:
        verdict = normalised(line)
        if verdict.split(" ")[0] in {Answer.ACCEPT, Answer.NOT_LIVE, Answer.NOT_THE_SPEAKER}:
            assert verdict in possible_verdicts(), f"{where}: there is no such verdict: {line}"
            continue
        for part in line.split("…"):
            wanted = normalised(part)
            found = [text.find(wanted, begin) for text, begin in zip(printed, position, strict=True)]
            stream = 0 if found[0] >= 0 else 1
            assert found[stream] >= 0, f"{where}: not printed: {part}\n{result.out}{result.err}"
            position[stream] = found[stream] + len(wanted)


def normalised(text: str) -> str:
    """Text on one line, less its numbers and the lines of tables."""
    return re.sub(r"\s+", " ", NUMBER.sub("#", re.sub(r"[─-╿]", " ", text))).strip()


def possible_verdicts() -> set[str]:
    """The verdicts that rest on scores, with their reasons, as `vivavoce verify` prints them."""
    part = PartCalibration(scale=1, offset=0, threshold=0.5, eer=0.1, n_target=9, n_nontarget=9)
    calibration = Calibration(speaker=part, liveness=LivenessCalibration(**part.model_dump()))
    fine = ProbeQuality(True, -30.0, 50.0, "")
    evidence = [Evidence(speaker, live, fine) for speaker in (0.9, 0.1) for live in (0.9, 0.1)]
    verdicts = [decide(one, calibration) for one in evidence]
    return {normalised(f"{verdict.verdict.value} {verdict.reason}") for verdict in verdicts}


def check_options(words: list[str], where: str) -> None:
    """The command exists, and so do its options; `import table` and the like are two words."""
    words = words[: words.index("--")] if "--" in words else words
    named, rest = typer.main.get_command(app), iter(words)
    while hasattr(named, "commands"):
        word = next(rest)
        assert word in named.commands, where
        named = named.commands[word]
    options = {name for parameter in named.params for name in (*parameter.opts, *parameter.secondary_opts)}
    assert {word for word in words if word.startswith("--")} <= options, where


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def check_script(script: Path, words: list[str], where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A benchmark exists, answers --help, and names the options there."""
    assert script.is_file(), where
    monkeypatch.syspath_prepend(str(script.parent))
    result = run_script(script, ["--help"], monkeypatch)
    assert result.code == 0, f"{where}\n{result.err}"
    for word in words:
        assert not word.startswith("--") or word in result.out, f"{where}: {word}"


def run_script(script: Path, words: list[str], monkeypatch: pytest.MonkeyPatch) -> Result:
    """Run a script in this process as if it were started with ``words``."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with monkeypatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.setattr(sys, "argv", [str(script), *words])
        patch.setenv("OMP_NUM_THREADS", "1")
        try:
            runpy.run_path(str(script), run_name="__main__")
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    return Result(code, out.getvalue(), err.getvalue())


def check_extras(words: list[str], where: str) -> None:
    """`pip install` names this project and extras that it has."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert words[0] == "install", where
    target = next(word for word in words[1:] if not word.startswith("-"))
    match = re.fullmatch(r"(\.|vivavoce)(?:\[([\w,]+)\])?", target)
    assert match, where
    assert set(filter(None, (match[2] or "").split(","))) <= set(project["optional-dependencies"]), where


def check_tree(block: Block) -> None:
    """A listing of a folder: the first line names it, the others are all that it holds, each with what it is for."""
    folder, *lines = block.text.splitlines()
    assert folder.endswith("/"), f"{block.where}: a text block must list a folder"
    listed = {line.split()[0].rstrip("/") for line in lines}
    for name in listed:
        assert list(Path(folder).glob(name)), f"{block.where}: {folder}{name} is not there"
    missing = {path.name for path in Path(folder).iterdir()} - {name.split("/")[0] for name in listed}
    assert not missing, f"{block.where}: not listed: {missing}"


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if link.startswith(("https://", "http://")):
            continue
        target, _, anchor = link.partition("#")
        file = (page.parent / target) if target else page
        assert file.exists(), f"{page.name}: {link}"
        if anchor:
            assert anchor in anchors(file), f"{page.name}: {link}"


def anchors(page: Path) -> set[str]:
    """Names of a page's headings, as Markdown viewers make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_example_configs_show_the_defaults() -> None:
    """Both files say that their values are the defaults; train.yaml names the two that are not."""
    experiment = load_settings(ExperimentConfig, ROOT / "examples" / "train.yaml")
    build_model(experiment)
    data = experiment.data.model_dump(exclude_none=True)
    default = load_settings(ExperimentConfig, None, [f"data.{name}={value}" for name, value in data.items()])
    other = differing(experiment.model_dump(mode="json"), default.model_dump(mode="json"))
    assert other.keys() == {"model.trunk.channels", "model.trunk.pooled_channels"}, other
    simulation = load_settings(SimulationConfig, ROOT / "examples" / "simulation.yaml")
    assert not differing(simulation.model_dump(mode="json"), SimulationConfig().model_dump(mode="json"))


def test_all_augmentations_are_in_the_table() -> None:
    page = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    for row in table():
        assert row["keeps_correlation"] == "yes"  # the page says so of all of them
        assert f"| `{row['name']}` | {row['what']} | {row['bands']} |" in page


def test_all_checks_of_the_audit_are_in_the_table() -> None:
    page = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    listed = re.findall(r"`(\w+)`", page[page.index("| group | checks |") : page.index("**Confounds**")])
    assert sorted(listed) == sorted(CHECKS)


@pytest.mark.parametrize("term", TERMS, ids=lambda term: term.name)
def test_every_number_of_the_report_is_explained(term: Term) -> None:
    """Two sentences for whoever decides, then the formula and where it comes from."""
    section = EVALUATION[EVALUATION.index(f"\n### {term.name}\n") :]
    _, words, formula = section.strip().split("\n\n")[:3]
    assert len(re.findall(r"[.!?](?=\s|$)", words)) == 2, words
    assert formula.startswith("Formula: ")
    assert re.search(r"Source:\s", formula)


def test_the_defaults_of_the_costs_are_those_of_the_page() -> None:
    for name, value in ASVSPOOF5.model_dump().items():
        assert re.search(rf"{name}\b.{{0,30}} = {value:g}\b", EVALUATION, re.DOTALL), name
    miss, others, attacks = ASVSPOOF5.weights
    normalised = f"({miss:g} P_miss + {others:g} P_nontarget + {attacks:g} P_spoof) / {min(miss, others + attacks):g}"
    assert normalised in EVALUATION


def test_all_encoders_and_curves_are_in_the_tables() -> None:
    listed = re.findall(r"^\| (`[^|]+) \|", EVALUATION, re.MULTILINE)
    assert {f"`{form(name)}`" for name in KINDS} <= set(listed)
    assert set(CURVE_NAMES) <= {name for cell in listed for name in re.findall(r"`(\w+)`", cell)}


def differing(ours: object, default: object, key: str = "") -> dict[str, str]:
    """The keys whose values differ, with both values."""
    if isinstance(ours, dict) and isinstance(default, dict):
        parts = [differing(ours.get(name), default.get(name), f"{key}.{name}") for name in ours | default]
        return {name: both for part in parts for name, both in part.items()}
    return {} if ours == default else {key.removeprefix("."): f"{ours} here, {default} by default"}


def test_the_documents_name_no_place_of_this_machine() -> None:
    for page in [*PAGES, ROOT / "CHANGELOG.md", *sorted((ROOT / "examples").iterdir())]:
        assert not re.search(r"(?<![\w.])/(work|home|root|tmp)\b", page.read_text(encoding="utf-8")), page.name
