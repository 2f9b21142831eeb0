"""The page of benchmarks says what the results say: no figure of it is typed by hand."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]
PLACES = "".join(
    f"Text.\n\n<!-- begin {name} -->\nold\n<!-- end {name} -->\n\n"
    for name in (
        *("frontends_agreement", "frontends_speed", "simulator_speed"),
        *("simulator_realism", "real_speech", "verify_latency", "audit_scale", "planted_faults", "near_copies"),
        *("online_path", "offline_online", "memory", "ultrasense", "ultrasense_claims"),
        *("abstention_reasons", "abstention_sway"),
        *("shortcuts", "shortcut_sidebands"),
        *("liveness_targets", "liveness_abstentions", "liveness_transfer", "liveness_species", "liveness_passive"),
        *("liveness_matrix", "liveness_detectors", "liveness_front_ends", "liveness_ablation", "liveness_curve"),
        *("liveness_babble", "liveness_splices", "liveness_running"),
        *("training_step", "trainer_loop", "speaker_scratch", "multitask", "peer_parity", "pretrained_speaker"),
        *("diagnosis_curves", "provoked_runs"),
        *("metric_agreement", "trial_lists", "trial_scoring", "evaluation_scale"),
        *("full_evaluation_speechocean", "full_evaluation_ravdess"),
        *("ssh_clients", "push_speed", "server_run"),
    )
)


@pytest.fixture(scope="module")
def render() -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmarks_render", ROOT / "benchmarks" / "render.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")  # as for a script that is run
        spec.loader.exec_module(module)
    return module


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """An empty folder of results, and a way to fill it."""
    (tmp_path / "results").mkdir()
    return tmp_path / "results"


def write(results: Path, name: str, value: dict) -> None:
    (results / name).write_text(json.dumps(value), encoding="utf-8")


@pytest.mark.parametrize("name", ["benchmarks.md", "diagnosis.md"])
def test_the_pages_are_what_the_committed_results_give(render: ModuleType, name: str) -> None:
    page = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert render.render(page, sections=render.PAGES[name]) == page, "run python benchmarks/render.py"


def test_every_result_is_on_the_page(render: ModuleType) -> None:
    files = {path.name for path in (ROOT / "benchmarks" / "results").glob("*.json")}
    assert files <= {file for file, _ in render.SECTIONS.values()}


def test_a_missing_result_leaves_an_empty_place(render: ModuleType, results: Path) -> None:
    page = render.render(PLACES, results)
    assert "old" not in page
    assert "|" not in page
    assert "<!-- begin real_speech -->\n<!-- end real_speech -->" in page


def test_rendering_twice_changes_nothing(render: ModuleType, results: Path) -> None:
    write(results, "verify_latency.json", latency(median=120.0))
    once = render.render(PLACES, results)
    assert render.render(once, results) == once


def test_real_speech_names_the_target_the_count_and_what_was_missed(render: ModuleType, results: Path) -> None:
    common = {"low": 0.01, "high": 0.2, "method": "bootstrap by speaker"}
    rows = [
        {"figure": "speaker EER", "value": 0.0512, **common, "trials": 90, "asked": "≤ 8 %", "reached": True},
        {"figure": "swapped", "value": 0.2, **common, "live": 40, "attacks": 50, "asked": "≤ 15 %", "reached": False},
        {"figure": "shifted", "value": 0.3, **common, "live": 4, "attacks": 5, "asked": "reported", "reached": None},
    ]
    rows[2] |= {"low": None, "high": None, "method": None}
    result = {"cores": 2, "corpus": "spoken", "seconds_data_to_report": 1900.0, "rows": rows}
    write(results, "real_speech.json", result)
    lines = render.render(PLACES, results).splitlines()
    assert "| speaker EER | 5.1 % | 1.0 % to 20.0 %, bootstrap by speaker | 90 target trials | ≤ 8 % | yes |" in lines
    missed = "| swapped | 20.0 % | 1.0 % to 20.0 %, bootstrap by speaker | 40 live, 50 attacks | ≤ 15 % | **no** |"
    assert missed in lines
    assert "| shifted | 30.0 % | – | 4 live, 5 attacks | reported | – |" in lines
    assert any("31.7 min on 2 cores (asked: 30 min on two; missed)" in line for line in lines)
    write(results, "real_speech.json", {**result, "seconds_data_to_report": None})
    assert "From data to report" not in render.render(PLACES, results)


def latency(median: float) -> dict:
    times = {"median_ms": median, "p95_ms": 2 * median}
    return {"machine": "x86_64", "asked_ms": 150, "seconds": 3.0, "probe known": times, "probe detected": times}


@pytest.mark.parametrize(("median", "word"), [(149.0, "reached"), (151.0, "missed")])
def test_latency_is_held_against_what_was_asked(render: ModuleType, results: Path, median: float, word: str) -> None:
    write(results, "verify_latency.json", latency(median))
    assert f"| probe known | {median:.0f} ms ({word}) | {2 * median:.0f} ms |" in render.render(PLACES, results)


def test_realism_keeps_apart_what_being_inside_means(render: ModuleType, results: Path) -> None:
    def figure(name: str, inside: bool, published: str = "1 to 2", **more: str) -> dict:
        return {"figure": name, "unit": "", "ours": 1.5, "published": published, "inside": inside, "source": "s"} | more

    figures = [
        *(figure("lip", True), figure("jaw", False, why="too slow | really")),
        *(figure("emu_x: lip", True), figure("noise (drawn from it)", True)),
        *(figure("sway", True, "none (own bound 1…2)"), figure("swing", False, "none (own bound ≤ 2)")),
    ]
    write(results, "simulator_realism.json", {"figures": figures})
    page = render.render(PLACES, results)
    assert f"- {render.FITTED}: 1 of 2 inside." in page
    assert f"- {render.MEASURED}: 1 of 1 inside." in page
    assert f"- {render.CIRCULAR}: 1 of 1 inside." in page
    assert f"- {render.OWN}: 1 of 2 inside." in page
    assert "| jaw | 1.5 |  | 1 to 2 | **no**: too slow \\| really | s |" in page
    assert "| swing | 1.5 |  | none (own bound ≤ 2) | **no** | s |" in page


@pytest.mark.parametrize("name", ["frontends.json", "simulator_speed.json", "simulator_realism.json"])
def test_a_figure_that_changes_changes_the_page(render: ModuleType, results: Path, name: str) -> None:
    committed = json.loads((ROOT / "benchmarks" / "results" / name).read_text(encoding="utf-8"))
    write(results, name, committed)
    before = render.render(PLACES, results)
    first = {
        "frontends.json": lambda: committed["agreement"][0].update({"median": 0.5}),
        "simulator_speed.json": lambda: committed.update({"times_real_time": 3.0}),
        "simulator_realism.json": lambda: committed["figures"][0].update({"ours": 77.7}),
    }
    first[name]()
    write(results, name, committed)
    after = render.render(PLACES, results)
    assert after != before
    if name == "simulator_speed.json":
        assert "3 (missed)" in after


@pytest.mark.parametrize("page", ["", PLACES.replace("real_speech", "surprise"), PLACES + PLACES])
def test_a_page_with_other_places_is_refused(render: ModuleType, page: str) -> None:
    with pytest.raises(ValueError, match="places for"):
        render.render(page)


def test_check_only_tells(render: ModuleType, results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.md"
    page.write_text(PLACES, encoding="utf-8")
    words = ["render.py", "--page", str(page), "--results", str(results)]
    monkeypatch.setattr(sys, "argv", [*words, "--check"])
    with pytest.raises(SystemExit, match="out of date"):
        render.main()
    assert page.read_text(encoding="utf-8") == PLACES
    monkeypatch.setattr(sys, "argv", words)
    render.main()
    monkeypatch.setattr(sys, "argv", [*words, "--check"])
    with pytest.raises(SystemExit) as stopped:
        render.main()
    assert not stopped.value.code
