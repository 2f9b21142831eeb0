import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.server.remote.answer import Refused
from vivavoce.server.remote.choice import choose, idle

from .nvidia_smi import recorded

TOTAL_MIB = 40960


def make_process(user: str | None, **changes: Any) -> dict[str, Any]:
    process = {"pid": 7, "memory_mib": 1024, "name": "python", "graphics": False, "mig": None, "user": user}
    return {**process, "since": 1795977605.0, "command": "python train.py", **changes}


def make_gpu(index: int, **changes: Any) -> dict[str, Any]:
    gpu = {"index": index, "uuid": f"GPU-{index}", "name": "A100", "memory_total_mib": TOTAL_MIB, "memory_used_mib": 4}
    return {**gpu, "utilisation": 0.0, "temperature_c": 30, "fault": None, "mig": [], "processes": [], **changes}


def indices(devices: list[dict[str, Any]]) -> list[int]:
    return [device["index"] for device in devices]


GPUS = st.lists(
    st.fixed_dictionaries(
        {
            "memory_used_mib": st.integers(0, TOTAL_MIB),
            "utilisation": st.none() | st.integers(0, 100).map(lambda percent: percent / 100),
            "fault": st.none() | st.none() | st.just("GPU is lost"),
            "processes": st.lists(
                st.builds(make_process, st.sampled_from(["ada", "bob", None]), graphics=st.booleans()), max_size=2
            ),
        }
    ),
    max_size=6,
).map(lambda changes: [make_gpu(index, **change) for index, change in enumerate(changes)])


def is_idle(gpu: dict[str, Any], taken: set[str]) -> bool:
    """The rule in words: whole, nobody computes there, little memory and little use."""
    computing = [process for process in gpu["processes"] if not process["graphics"]]
    little = gpu["memory_used_mib"] < 600 or gpu["memory_used_mib"] < 0.05 * gpu["memory_total_mib"]
    still = (gpu["utilisation"] or 0.0) < 0.1
    return not gpu["fault"] and not computing and little and still and gpu["uuid"] not in taken


@given(gpus=GPUS, count=st.integers(1, 4), taken=st.sets(st.sampled_from([f"GPU-{n}" for n in range(6)]), max_size=3))
def test_only_idle_devices_are_chosen_and_all_reasons_are_told(
    gpus: list[dict[str, Any]], count: int, taken: set[str]
) -> None:
    usable = [gpu for gpu in gpus if is_idle(gpu, taken)]
    if len(usable) >= count:
        chosen = choose(gpus, count, taken=taken, user="ada")
        assert len({device["uuid"] for device in chosen}) == count
        assert {device["uuid"] for device in chosen} <= {gpu["uuid"] for gpu in usable}
        most = sorted((gpu["memory_used_mib"], gpu["utilisation"] or 0.0) for gpu in usable)[:count]
        assert [(gpus[i]["memory_used_mib"], gpus[i]["utilisation"] or 0.0) for i in indices(chosen)] == most
        return
    with pytest.raises(Refused) as caught:
        choose(gpus, count, taken=taken, user="ada")
    said = str(caught.value)
    assert said.endswith(".")
    for gpu in gpus:
        assert f"GPU {gpu['index']} (A100)" in said


@given(gpus=GPUS)
def test_idle_is_what_would_be_chosen(gpus: list[dict[str, Any]]) -> None:
    assert idle(gpus) == [gpu["uuid"] for gpu in gpus if is_idle(gpu, set())]


@given(gpus=GPUS, wanted=st.lists(st.integers(0, 5), min_size=1, max_size=3, unique=True))
def test_wanted_devices_are_those_or_none(gpus: list[dict[str, Any]], wanted: list[int]) -> None:
    if all(index < len(gpus) and is_idle(gpus[index], set()) for index in wanted):
        assert indices(choose(gpus, 1, taken=set(), user="ada", wanted=wanted)) == wanted
    else:
        with pytest.raises(Refused, match="GPU"):
            choose(gpus, 1, taken=set(), user="ada", wanted=wanted)


@given(gpus=GPUS, count=st.integers(1, 4))
def test_sharing_takes_idle_ones_first_and_never_a_broken_one(gpus: list[dict[str, Any]], count: int) -> None:
    whole = [gpu for gpu in gpus if not gpu["fault"]]
    if len(whole) < count:
        with pytest.raises(Refused):
            choose(gpus, count, taken=set(), user="ada", share=True)
        return
    chosen = indices(choose(gpus, count, taken=set(), user="ada", share=True))
    assert not any(gpus[index]["fault"] for index in chosen)
    ordered = [is_idle(gpus[index], set()) for index in chosen]
    assert sum(ordered) == min(count, sum(is_idle(gpu, set()) for gpu in gpus))
    assert ordered == sorted(ordered, reverse=True)


def test_refusal_says_who_has_the_gpu_since_when_and_what_to_do() -> None:
    gpu = make_gpu(
        0,
        memory_used_mib=12288,
        processes=[make_process("bob", pid=4242, memory_mib=12288, command="/opt/env/bin/python train.py")],
    )
    with pytest.raises(Refused) as caught:
        choose([gpu], 1, taken=set(), user="ada")
    said = str(caught.value)
    since = time.strftime("%d %b %H:%M", time.localtime(1795977605))
    who = f"bob (pid 4242, since {since}, 12.0 GiB: python train.py)"
    assert said.startswith(f"No GPU is free: GPU 0 (A100) is used by {who}; ")
    assert "wait, or start beside the others with --share" in said


def test_own_process_is_yours_and_counts_all_the_same() -> None:
    gpu = make_gpu(0, processes=[make_process("ada")])
    with pytest.raises(Refused, match=r"used by you \(pid 7"):
        choose([gpu], 1, taken=set(), user="ada", wanted=[0])
    assert indices(choose([gpu], 1, taken=set(), user="ada", wanted=[0], share=True)) == [0]


@pytest.mark.parametrize(
    ("gpu", "reason"),
    [
        (make_gpu(0, memory_used_mib=19456), r"has 19\.0 GiB in use by a process that is not shown"),
        (make_gpu(0, utilisation=0.5), r"is busy at 50% with a process that is not shown"),
        (make_gpu(0, processes=[make_process(None, since=None, command=None)]), r"somebody \(pid 7, 1\.0 GiB: python"),
        (make_gpu(0, fault="GPU is lost"), r"No GPU of the server can be used: .*\(GPU is lost\); ask who runs it"),
    ],
)
def test_reason_is_told_where_no_owner_is_known(gpu: dict[str, Any], reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        choose([gpu], 1, taken=set(), user="ada")


def test_reserved_device_is_said_to_be_reserved() -> None:
    with pytest.raises(Refused, match=r"GPU 0 \(A100\) is reserved for a job; choose another"):
        choose([make_gpu(0)], 1, taken={"GPU-0"}, user="ada", wanted=[0])


def test_unknown_and_repeated_indices_are_refused() -> None:
    gpus = [make_gpu(0), make_gpu(1)]
    with pytest.raises(Refused, match="has no GPU 7; it has 0, 1"):
        choose(gpus, 1, taken=set(), user="ada", wanted=[7])
    with pytest.raises(Refused, match="name each GPU once"):
        choose(gpus, 1, taken=set(), user="ada", wanted=[1, 1])
    with pytest.raises(Refused, match="3 whole GPUs are asked for and the server has 2"):
        choose(gpus, 3, taken=set(), user="ada")


def test_display_leaves_a_gpu_free() -> None:
    gpu = make_gpu(0, processes=[make_process("root", graphics=True)])
    assert indices(choose([gpu], 1, taken=set(), user="ada")) == [0]


def test_long_command_is_cut() -> None:
    gpu = make_gpu(0, processes=[make_process("bob", command="python " + "x" * 500)])
    with pytest.raises(Refused) as caught:
        choose([gpu], 1, taken=set(), user="ada")
    assert len(str(caught.value)) < 300


def test_mig_instance_counts_as_a_device() -> None:
    gpus = recorded("mig")
    free, busy = (part["uuid"] for part in gpus[0]["mig"])
    assert choose(gpus, 1, taken=set(), user="ada", wanted=[0]) == [
        {"uuid": free, "index": 0, "name": "NVIDIA A100-SXM4-40GB MIG 3g.20gb"}
    ]
    assert indices(choose(gpus, 1, taken=set(), user="ada")) == [1]  # the whole GPU has more memory
    assert choose(gpus, 1, taken={gpus[1]["uuid"]}, user="ada")[0]["uuid"] == free
    for taken in ({free}, {gpus[0]["uuid"]}):  # the lock of the whole GPU holds for its instances, too
        with pytest.raises(Refused, match="reserved"):
            choose(gpus, 1, taken=taken, user="ada", wanted=[0])
    assert busy not in idle(gpus)


def test_several_devices_are_never_mig_instances() -> None:
    gpus = recorded("mig")
    with pytest.raises(Refused, match="2 whole GPUs are asked for and the server has 1"):
        choose(gpus, 2, taken=set(), user="ada")
    with pytest.raises(Refused, match="one MIG instance only"):
        choose(gpus, 1, taken=set(), user="ada", wanted=[0, 1])
