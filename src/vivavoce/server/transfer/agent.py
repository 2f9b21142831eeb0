"""One program on the server for all that a transfer asks there, so that each question costs no start of its own."""

import contextlib
import json
import subprocess
from collections.abc import Mapping
from typing import Any

from vivavoce.server.program import MARK, PYTHON_FED, compose
from vivavoce.server.ssh import Connection


class Agent:
    """Asks the program `remote.agent`, which starts with the first question and ends with :meth:`close`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, request: Mapping[str, Any]) -> Any:
        """The answer to a request of `remote.files`.

        Raises:
            UserError: no connection, no Python there, or the program refused, in its own sentence.
            ConnectionLost: the connection ended before the answer.
        """
        process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        with contextlib.suppress(BrokenPipeError):  # why it ended comes below
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
        for raw in process.stdout:
            line = raw.decode(errors="replace")
            if line.startswith(MARK):
                return self._connection.result(json.loads(line.removeprefix(MARK)))
        said, code = process.stderr.read().decode(errors="replace"), process.wait()
        self.close()
        raise self._connection.no_answer(code, said)

    def close(self) -> None:
        """End the program."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def _start(self) -> subprocess.Popen[bytes]:
        self._connection.open()
        process = self._process = self._connection.popen(PYTHON_FED)
        program = compose("agent", {}).encode()
        assert process.stdin is not None
        process.stdin.write(b"%d\n%s" % (len(program), program))
        return process
