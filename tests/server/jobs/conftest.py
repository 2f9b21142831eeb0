"""One server for all tests of a file, and a work folder of its own for each test."""

from collections.abc import Iterator

import pytest

from vivavoce.server.ssh import Connection

from ..sshd import Sshd
from ..working import one_server, own_folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with one_server(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
def connection(server: Sshd) -> Iterator[Connection]:
    with own_folder(server) as connection:
        yield connection
