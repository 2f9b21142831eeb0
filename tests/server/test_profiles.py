import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vivavoce.errors import UserError
from vivavoce.server.kinds import EnvironmentKind, Launcher
from vivavoce.server.master import servers_file
from vivavoce.server.profile import Environment, Profile, Slurm
from vivavoce.server.profiles import load_profile, load_profiles, remove_profile, save_profile

TEXT = st.text(st.characters(codec="utf-8", min_codepoint=32, exclude_characters="\x7f"), min_size=1, max_size=8)
FOLDER = TEXT.map(lambda text: "/" + text)
NAME = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,8}", fullmatch=True)


def optional(strategy: st.SearchStrategy[str]) -> st.SearchStrategy[str | None]:
    return st.none() | strategy


ENVIRONMENTS = st.builds(
    Environment,
    kind=st.sampled_from(EnvironmentKind),
    path=optional(FOLDER),
    packages=optional(FOLDER),
    python=optional(TEXT),
    extras=st.lists(TEXT, max_size=2).map(tuple),
    pip_options=st.lists(TEXT, max_size=2).map(tuple),
)
SLURMS = st.builds(Slurm, partition=optional(TEXT), time=optional(TEXT), cpus_per_gpu=st.none() | st.integers(1, 99))
PROFILES = st.builds(
    Profile,
    host=NAME,
    port=st.none() | st.integers(1, 65535),
    user=optional(NAME),
    workdir=FOLDER,
    launcher=st.sampled_from(Launcher),
    environment=ENVIRONMENTS,
    data=st.dictionaries(NAME.filter(lambda name: name not in (".", "..")), FOLDER, max_size=2),
    slurm=st.none() | SLURMS,
)


@pytest.fixture(autouse=True)
def _config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


def write(text: str) -> None:
    servers_file().parent.mkdir(parents=True, exist_ok=True)
    servers_file().write_text(text)


@settings(max_examples=25)
@given(profiles=st.dictionaries(NAME, PROFILES, max_size=3))
def test_what_is_saved_is_loaded(profiles: dict[str, Profile], tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        for name, profile in profiles.items():
            save_profile(name, profile)
        assert load_profiles() == profiles
        for name, profile in profiles.items():
            assert load_profile(name) == profile
            assert remove_profile(name) == profile
        assert load_profiles() == {}


def test_no_file_is_no_server() -> None:
    assert load_profiles() == {}
    with pytest.raises(UserError, match=r"no server 'lab' in .*there is none.*vivavoce server add lab"):
        load_profile("lab")


def test_near_name_is_offered() -> None:
    save_profile("lab-one", Profile(host="a"))
    with pytest.raises(UserError, match="did you mean lab-one"):
        load_profile("lab-on")
    with pytest.raises(UserError, match="there are lab-one"):
        remove_profile("zzz")


def test_what_a_person_wrote_stays() -> None:
    write('# the old one\n[old]\nhost = "old"  # until May\n\n[old.slurm]\npartition = "gpu"\n')
    save_profile("lab", Profile(host="lab"))
    save_profile("lab", Profile(host="other", port=2222))
    text = servers_file().read_text()
    assert "# the old one" in text
    assert 'host = "old"  # until May' in text
    assert load_profile("lab") == Profile(host="other", port=2222)
    remove_profile("lab")
    assert "# until May" in servers_file().read_text()
    assert list(load_profiles()) == ["old"]


def test_only_what_differs_from_the_defaults_is_written() -> None:
    save_profile("lab", Profile(host="lab", user="ada"))
    assert tomllib.loads(servers_file().read_text()) == {"lab": {"host": "lab", "user": "ada"}}
    assert servers_file().stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[lab\n", ("is no TOML", "mend it")),
        ('[lab]\nhost = "lab"\npassword = "x"\n', ("[lab] password",)),
        ('[lab]\nhost = "lab"\nport = 70000\n', ("[lab] port", "65535")),
        ('[lab]\nhost = "-oProxyCommand=x"\n', ("[lab] host", "must be the name or address")),
        ('[lab]\nhost = "lab"\n[lab.environment]\nkind = "poetry"\n', ("[lab] environment.kind",)),
        ('[lab]\nhost = "lab"\n[lab.data]\n"../x" = "/data"\n', ("[lab] data", "below the one you work in")),
        ('host = "lab"\n', ("[host]",)),
    ],
)
def test_file_that_cannot_be_used_is_named_with_the_key(text: str, parts: tuple[str, ...]) -> None:
    write(text)
    with pytest.raises(UserError) as caught:
        load_profiles()
    for part in (str(servers_file()), *parts):
        assert part in str(caught.value)
    assert servers_file().read_text() == text


def test_file_of_other_bytes_is_refused_and_kept() -> None:
    write("")
    servers_file().write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="is no TOML"):
        save_profile("lab", Profile(host="lab"))
    assert servers_file().read_bytes() == b"\xff\xfe"


@pytest.mark.parametrize("name", ["", "-x", "a b", "../x", "a/b", ".x", "a\n"])
def test_name_that_cannot_be_one_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="is no name for a server"):
        save_profile(name, Profile(host="lab"))
    assert not servers_file().exists()
