"""Voice embeddings of the audited rows, kept in the state so that a model sees each recording once."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from vivavoce.audit.data import Data, probe_of
from vivavoce.audit.found import Embeddings
from vivavoce.corpus.cuts import Row
from vivavoce.corpus.metadata import Kind, Metadata
from vivavoce.progress import progress_bar

Embed = Callable[[Sequence[Row]], np.ndarray]

BATCH_ROWS = 32
# A voice is judged on live recordings (a loudspeaker or a synthesiser changes it) of half a second and more, above
# silence: the least that `verify` takes.
LEAST_S, LEAST_PEAK_DBFS = 0.5, -70.0
# The length that was decoded: the manifest's may be the very fault that is looked for.
_COLUMNS = "number, id, path, speaker, start_s, decoded_s, rate, channel, probe_hz, measured"


@contextmanager
def embed_rows(data: Data, embed: Embed, model: str = "") -> Iterator[Embeddings | None]:
    """Yield the embeddings of all live rows that can be heard, computed where the state has none; None: no such row.

    They lie in a file that is gone afterwards.
    """
    _compute(data, embed, model)
    joined = f"FROM ({_wanted()}) JOIN main.embedding e ON e.measurement = measured AND e.model = ?"
    count = data.one(f"SELECT count(*) {joined}", model)
    with tempfile.TemporaryDirectory(prefix="vivavoce-audit-") as folder:
        if not count:
            yield None
            return
        rows = data.db.execute(f"SELECT number, speaker, vector {joined} ORDER BY id, path", (model,))
        vectors, numbers, speakers = None, np.zeros(count, np.int64), np.zeros(count, object)
        for place, (number, speaker, blob) in enumerate(rows):
            vector = np.frombuffer(blob, np.float32)
            if vectors is None:
                vectors = np.lib.format.open_memmap(Path(folder, "v.npy"), "w+", np.float32, (count, len(vector)))
            numbers[place], speakers[place], vectors[place] = number, speaker, vector
        assert vectors is not None
        yield Embeddings(numbers, speakers, vectors)


def _wanted() -> str:
    heard = f"kind = '{Kind.LIVE.value}' AND decoded_s >= {LEAST_S} AND peak_dbfs >= {LEAST_PEAK_DBFS}"
    return f"SELECT {_COLUMNS} FROM sound WHERE {heard}"


def _compute(data: Data, embed: Embed, model: str) -> None:
    """Embed what the state lacks; under an empty model name everything, since nobody knows what it was made with."""
    if not model:
        data.db.execute("DELETE FROM main.embedding WHERE model = ''")
    data.db.execute(
        f"CREATE TEMP TABLE unembedded AS {_wanted()} AND measured NOT IN"
        " (SELECT measurement FROM main.embedding WHERE model = ?) GROUP BY measured ORDER BY measured",
        (model,),
    )
    data.db.commit()
    count = data.one("SELECT count(*) FROM unembedded")
    found = data.db.execute("SELECT * FROM unembedded ORDER BY rowid")
    with progress_bar("Listening to voices", count) as advance:
        while batch := found.fetchmany(BATCH_ROWS):
            vectors = np.asarray(embed([_row(values) for values in batch]), np.float32)
            with data.db:
                data.db.executemany(
                    "INSERT OR REPLACE INTO main.embedding VALUES (?, ?, ?)",
                    [(values[-1], model, vector.tobytes()) for values, vector in zip(batch, vectors, strict=True)],
                )
            advance(len(batch))


def _row(values: Sequence) -> Row:
    _, name, path, speaker, start_s, decoded_s, rate, channel, probe, _ = values
    meta = Metadata(probe_hz=probe_of(probe))
    return Row(name, Path(path), speaker, None, start_s, decoded_s, rate, channel, meta)
