import ast
import inspect
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.server.remote import choice, nvidia
from vivavoce.server.remote.answer import Refused
from vivavoce.server.remote.nvidia import NoGpu

from .nvidia_smi import program, recorded, sample

A100 = "NVIDIA A100-SXM4-40GB"


def test_idle_gpus_have_the_figures_of_nvidia_smi() -> None:
    first, second = recorded("idle")
    assert (first["index"], first["name"], first["uuid"][:12]) == (0, A100, "GPU-5c89852c")
    assert (first["memory_total_mib"], first["memory_used_mib"]) == (40960, 4)
    assert (first["utilisation"], first["temperature_c"], first["fault"], first["mig"]) == (0.0, 31, None, [])
    assert [(p["pid"], p["graphics"]) for p in first["processes"]] == [(2211, True)]
    assert second["processes"] == []


def test_processes_have_their_owners() -> None:
    gpus = recorded("busy")
    alice = gpus[0]["processes"][1]
    assert alice == {
        "pid": 48213,
        "memory_mib": 22528,
        "name": "/home/alice/envs/torch/bin/python",
        "graphics": False,
        "mig": None,
        "user": "alice",
        "since": 1795977605.0,  # Sun Nov 29 18:40:05 UTC 2026
        "command": "/home/alice/envs/torch/bin/python train.py --name first run",
    }
    assert [p["user"] for gpu in gpus for p in gpu["processes"]] == [
        "root",
        "alice",
        "alice",
        "a-colleague-with-a-long-name",
    ]
    assert (gpus[0]["utilisation"], gpus[1]["utilisation"]) == (0.97, 1.0)


def test_owner_that_is_not_shown_is_none() -> None:
    gpus = nvidia.parse(sample("busy.xml"), sample("busy.txt"), "")
    assert {p["user"] for gpu in gpus for p in gpu["processes"]} == {None}


def test_mig_instances_are_devices_with_their_processes() -> None:
    split, whole, empty = recorded("mig")
    assert [(part["uuid"][:12], part["name"], part["memory_used_mib"]) for part in split["mig"]] == [
        ("MIG-3b1f0a52", "MIG 3g.20gb", 19),
        ("MIG-94d7e8f1", "MIG 3g.20gb", 14366),
    ]
    assert [p["mig"] for p in split["processes"]] == [split["mig"][1]["uuid"]]
    assert split["utilisation"] is None
    assert whole["mig"] == []
    assert whole["fault"] is None
    assert empty["fault"] == "MIG is on and has no instance"


def test_index_is_that_of_the_listing() -> None:
    swapped = "\n".join(
        reversed(sample("idle.txt").replace("GPU 0:", "GPU x:").replace("GPU 1:", "GPU 0:").splitlines())
    )
    gpus = nvidia.parse(sample("idle.xml"), swapped.replace("GPU x:", "GPU 1:"))
    assert [gpu["uuid"][:12] for gpu in gpus] == ["GPU-8a4f3d11", "GPU-5c89852c"]


@pytest.mark.parametrize(("name", "fault"), [("lost", "Unknown Error"), ("lost-fields", "GPU is lost")])
def test_lost_gpu_does_not_hide_the_others(name: str, fault: str) -> None:
    gpus = recorded(name)
    assert [gpu["index"] for gpu in gpus] == list(range(len(gpus)))
    assert gpus[1]["fault"] == fault
    assert gpus[1]["uuid"] == ""
    assert all(gpu["fault"] is None and gpu["memory_total_mib"] == 40960 for gpu in gpus if gpu["index"] != 1)


def test_old_drivers_say_the_same_in_other_words() -> None:
    tesla, gtx = recorded("old")
    assert (tesla["memory_total_mib"], tesla["memory_used_mib"], tesla["utilisation"]) == (5375, 2590, 0.81)
    assert tesla["temperature_c"] is None
    assert [(p["pid"], p["memory_mib"], p["graphics"]) for p in tesla["processes"]] == [(26931, 2577, False)]
    assert gtx["utilisation"] is None
    assert gtx["processes"] == []


FAILURES = {
    "fails-not-loaded": "is not loaded.*ask who runs the server to load it",
    "fails-mismatch": "version mismatch.*reboot",
    "fails-container": "lost its access.*start the container again",
    "fails-permissions": "may not use the GPUs.*ask who runs it for access",
    "fails-no-library": "libnvidia-ml.so.*install the driver",
    "fails-no-devices": "no GPU that it shows to this account.*within a job",
    "lost-silent": "No GPU of the server answers its driver.*reboot",
}


@pytest.mark.parametrize("name", FAILURES)
def test_driver_that_fails_is_one_sentence_with_a_mend(name: str) -> None:
    with pytest.raises(Refused, match=FAILURES[name]) as caught:
        nvidia.parse(sample(f"{name}.txt"), "", "", 9)
    assert isinstance(caught.value, NoGpu) == (name == "fails-no-devices")
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")


def test_unknown_failure_is_told_in_its_own_words() -> None:
    with pytest.raises(Refused, match=r"fails \(Something new\); ask"):
        nvidia.parse("A line.\nSomething new.\n", "", "", 3)
    with pytest.raises(Refused, match=r"fails \(exit code 3\); ask"):
        nvidia.parse("", "", "", 3)


@given(name=st.text(st.characters(codec="utf-8"), max_size=30).filter(lambda text: "</" not in text))
def test_name_of_a_process_may_be_anything(name: str) -> None:
    query = sample("busy.xml").replace("python3", name)
    gpus = nvidia.parse(query, sample("busy.txt"))
    assert [gpu["fault"] for gpu in gpus] == [None] * 4
    assert [p["pid"] for p in gpus[1]["processes"]] == [51377]


def test_names_are_read_escaped_or_not() -> None:
    for written in ("a &amp; b &lt;c>", "a & b <c>"):
        gpus = nvidia.parse(sample("busy.xml").replace("python3", written), "")
        assert gpus[1]["processes"][0]["name"] == "a & b <c>"


def test_gpu_that_says_no_xml_does_not_hide_the_others() -> None:
    query = sample("idle.xml").replace("<serial>13200000001", "<serial>\x01<&")
    first, second = nvidia.parse(query, sample("idle.txt"))
    assert first["fault"] is None
    assert "can be read" in second["fault"]


# --- reading, with a stand-in for nvidia-smi ---------------------------------------------------------------------


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put a shell program in place of this machine's nvidia-smi."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    def put(text: str) -> None:
        (tmp_path / "nvidia-smi").write_text(text)
        (tmp_path / "nvidia-smi").chmod(0o755)

    return put


def test_own_process_is_found_with_user_start_and_words(
    install: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")  # ps writes times of its own zone
    words = [sys.executable, "-c", "import time; print('ready', flush=True); time.sleep(60)", "a word", "it's"]
    before = time.time()
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            install(program(sample("busy.xml").replace("51377", str(process.pid)), sample("busy.txt")))
            found = nvidia.read()[1]["processes"][0]
        finally:
            process.kill()
    assert found["user"] == subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
    assert abs(found["since"] - before) < 5
    assert found["command"] == " ".join(words)


@pytest.mark.skipif(os.getuid() != 0, reason="only root starts a process as somebody else")
@pytest.mark.parametrize(("user", "shown"), [("nobody", "nobody"), (3_000_000_000, "3000000000")])
def test_process_of_somebody_else_has_its_owner_in_full(
    install: Callable[[str], None], user: str | int, shown: str
) -> None:
    with subprocess.Popen(["sleep", "60"], user=user) as process:
        try:
            install(program(sample("busy.xml").replace("51377", str(process.pid)), sample("busy.txt")))
            assert nvidia.read()[1]["processes"][0]["user"] == shown
        finally:
            process.kill()


def test_clocks_that_are_no_xml_are_left_out(install: Callable[[str], None]) -> None:
    broken = sample("idle.xml").replace("<supported_mem_clock>\n", "<supported_mem_clock>\n5001 MHz</value>\n")
    install(program(broken, sample("idle.txt")))
    assert [gpu["fault"] for gpu in nvidia.read()] == [None, None]


def test_where_one_lost_gpu_silences_all_each_is_asked_alone(install: Callable[[str], None], tmp_path: Path) -> None:
    blocks = sample("busy.xml").split("\t<gpu ")
    for number, block in enumerate(blocks[1:]):
        if number != 1:
            (tmp_path / f"{number}.xml").write_text(f"{blocks[0]}\t<gpu {block}")
    (tmp_path / "lost").write_text(sample("lost-silent.txt"))
    install(
        f'#!/bin/sh\ncd "{tmp_path}"\ncase $* in "-q -x -i "[0-3]) n=$4 ;; "-q -x -i "*) echo No devices were found; '
        "exit 6 ;; *) n=lost ;; esac\nif [ -e $n.xml ]; then cat $n.xml; else cat lost; exit 15; fi\n"
    )
    gpus = nvidia.read()
    assert [(gpu["index"], gpu["fault"]) for gpu in gpus] == [(0, None), (1, "GPU is lost"), (2, None), (3, None)]
    assert [len(gpu["processes"]) for gpu in gpus] == [3, 0, 0, 0]


def test_process_named_like_a_mark_does_not_cut_the_answer(install: Callable[[str], None]) -> None:
    install(program(sample("busy.xml").replace("python3", "\x1eowners"), sample("busy.txt")))
    assert [gpu["fault"] for gpu in nvidia.read()] == [None] * 4


def test_warning_with_the_answer_does_no_harm(install: Callable[[str], None]) -> None:
    warned = "WARNING: infoROM is corrupted at gpu 0000:07:00.0\n" + sample("idle.xml")
    install(program(warned, sample("idle.txt"), code=14))
    assert len(nvidia.read()) == 2


def test_no_nvidia_smi_is_no_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sh = shutil.which("sh")
    assert sh
    (tmp_path / "sh").symlink_to(sh)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoGpu, match="no nvidia-smi"):
        nvidia.read()


def test_driver_that_hangs_is_given_up(install: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvidia, "TIMEOUT_S", 0.3)
    install("#!/bin/sh\nexec sleep 3\n")
    with pytest.raises(Refused, match=r"does not answer.*reboot"):
        nvidia.read()


def test_answer_that_broke_off_is_not_taken_for_no_gpu() -> None:
    for said in ("", "\x1ecode\n0\n\x1equery\n"):
        with pytest.raises(Refused, match="broke off") as caught:
            nvidia.gpus(said)
        assert not isinstance(caught.value, NoGpu)


@pytest.mark.parametrize("module", [nvidia, choice])
def test_modules_are_for_python_3_8(module: ModuleType) -> None:
    ast.parse(inspect.getsource(module), feature_version=(3, 8))
