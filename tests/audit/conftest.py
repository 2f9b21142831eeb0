"""One clean corpus and one with faults, made once; tests must not change them."""

from pathlib import Path

import pytest

from vivavoce.corpus.cuts import Row

from .corpus import clean_rows, manifest_of


@pytest.fixture(scope="session")
def clean(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Row]]:
    """Manifest and rows of a clean corpus of 16 recordings."""
    folder = tmp_path_factory.mktemp("clean")
    rows = clean_rows(folder, 16)
    return manifest_of(rows, folder / "clean.jsonl.gz"), rows
