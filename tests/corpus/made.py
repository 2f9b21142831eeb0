"""Rows without sound files, for what looks at names and numbers only."""

from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from vivavoce.corpus.cuts import Row
from vivavoce.corpus.metadata import Kind, Metadata

KINDS = (Kind.LIVE, Kind.REPLAY_STAND, Kind.REPLAY_HANDHELD, Kind.TTS)


def made(
    name: str, speaker: str, path: str | Path | None = None, span: tuple[float, float] = (0.0, 1.0), **meta
) -> Row:
    """A row of a file of its own unless ``path`` is given; ``span`` is start and length, s."""
    channel = meta.pop("channel", 0)
    file = Path(path if path is not None else f"{name}.wav")
    return Row(name, file, speaker, None, *span, 16_000, channel, Metadata.model_validate(meta), 160_000, 2)


def corpus(speakers: int, seed: int, recordings: int = 10, sessions: int = 5) -> list[Row]:
    """Speakers of two sexes on five devices with a varying number of recordings of four kinds, some rare."""
    rng = np.random.default_rng(seed)
    rows = []
    for speaker in range(speakers):
        meta = {"sex": "FM"[rng.integers(2)], "device": f"phone{rng.integers(5)}"}
        for take in range(sessions + rng.poisson(max(0, recordings - sessions))):
            kind = KINDS[rng.choice(4, p=[0.5, 0.3, 0.15, 0.05])]
            rows.append(made(f"s{speaker}-{take}", f"s{speaker}", kind=kind, session=f"d{take % sessions}", **meta))
    return rows


@st.composite
def corpora(draw, sessions: int = 6, most: int = 80) -> list[Row]:
    """Any rows: few or many speakers, shared files, sources, devices and sexes known or not."""
    speakers = draw(st.integers(2, 12))
    fields = st.tuples(
        st.integers(0, speakers - 1),
        st.integers(0, sessions - 1),
        st.sampled_from(KINDS),
        st.sampled_from(["F", "M", None]),
        st.sampled_from(["a", "b", "c", None]),
        st.one_of(st.none(), st.none(), st.none(), st.integers(0, most)),  # an earlier row whose file this is
        st.one_of(st.none(), st.none(), st.none(), st.integers(0, most)),  # an earlier row it was made from
    )
    rows: list[Row] = []
    for number, (speaker, session, kind, sex, device, file, source) in enumerate(
        draw(st.lists(fields, min_size=10, max_size=most))
    ):
        meta = {"session": f"d{session}", "kind": kind, "sex": sex, "device": device}
        if source is not None and source < number:
            meta["source"] = f"r{source}"
        path = f"r{file}.wav" if file is not None and file < number else None
        rows.append(made(f"r{number}", f"s{speaker}", path, **meta))
    return rows
