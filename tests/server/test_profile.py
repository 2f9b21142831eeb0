import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from vivavoce.errors import UserError
from vivavoce.server.profile import Environment, Profile, Slurm
from vivavoce.server.target import Target, parse_target

WORD = st.from_regex(r"[\w.][\w.-]{0,8}", fullmatch=True)
PORT = st.integers(1, 65535)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("lab", Target("lab", None, None)),
        ("ada@lab", Target("lab", None, "ada")),
        ("ada@lab.example.org:2222", Target("lab.example.org", 2222, "ada")),
        ("lab:22", Target("lab", 22, None)),
        ("10.0.0.7:22", Target("10.0.0.7", 22, None)),
        ("ada@[fe80::1]:2222", Target("fe80::1", 2222, "ada")),
        ("[fe80::1]", Target("fe80::1", None, None)),
        ("fe80::1", Target("fe80::1", None, None)),
    ],
)
def test_target_is_read(text: str, target: Target) -> None:
    assert parse_target(text) == target


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@lab",
        "ada@",
        "lab:",
        "lab:0",
        "lab:65536",
        "lab:ssh",
        "lab:99999999999999999999",
        "-oProxyCommand=touch owned",
        "ada@-oProxyCommand=x",
        "-l@lab",
        "a b",
        "lab/home",
        "lab\nother",
        "ada b@lab",
        "[fe80::1",
    ],
)
def test_what_is_no_target_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"is no server .*; write user@host") as caught:
        parse_target(text)
    assert "\n" not in str(caught.value)


@given(user=st.none() | WORD, host=WORD, port=st.none() | PORT)
def test_address_is_read_back(user: str | None, host: str, port: int | None) -> None:
    profile = Profile(host=host, port=port, user=user)
    assert parse_target(profile.address) == Target(host, port, user)


@given(host=st.text(max_size=12).map(lambda text: f"-{text}"))
def test_no_host_is_an_option_of_ssh(host: str) -> None:
    with pytest.raises(ValidationError):
        Profile(host=host)
    with pytest.raises(ValidationError):
        Profile(host="lab", user=host)


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_port_out_of_range_is_refused(port: int) -> None:
    with pytest.raises(ValidationError):
        Profile(host="lab", port=port)


@pytest.mark.parametrize(
    ("written", "folder"),
    [("~/work", "work"), ("~", "."), ("/data/ada/", "/data/ada"), ("a/../b", "b"), ("ada's work", "ada's work")],
)
def test_folders_are_below_home_or_absolute(written: str, folder: str) -> None:
    assert Profile(host="lab", workdir=written).workdir == folder


@pytest.mark.parametrize("folder", ["", "~bob/work", "a\nb", "a\0b", "\x7f"])
def test_folder_that_means_something_else_is_refused(folder: str) -> None:
    with pytest.raises(ValidationError):
        Profile(host="lab", workdir=folder)
    with pytest.raises(ValidationError):
        Environment(path=folder)


@pytest.mark.parametrize("name", ["/data", "..", "../other", "a/../..", ".", "a//b", "a/"])
def test_data_folder_that_is_not_below_here_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="must be a folder below the one you work in"):
        Profile(host="lab", data={name: "/data"})


def test_places_follow_the_work_folder() -> None:
    profile = Profile(host="lab", workdir="/data/ada's work")
    assert profile.environment_path == "/data/ada's work/env"
    assert profile.state == "/data/ada's work/.vivavoce"
    assert profile.at("runs", "first") == "/data/ada's work/runs/first"
    assert Profile(host="lab", environment=Environment(path="/scratch/env")).environment_path == "/scratch/env"


def test_unknown_keys_and_line_breaks_are_refused() -> None:
    for table in ({"password": "x"}, {"environment": {"pip": []}}, {"slurm": {"nodes": 2}}):
        with pytest.raises(ValidationError):
            Profile.model_validate({"host": "lab"} | table)
    with pytest.raises(ValidationError):
        Slurm(partition="gpu\n#SBATCH --wrap=x")
    with pytest.raises(ValidationError):
        Environment(pip_options=("--index-url=x\ny",))
