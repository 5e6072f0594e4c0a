# SPDX-License-Identifier: Apache-2.0
"""The server side, in this process: for tests, notebooks, and programs that serve beside what else they do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType

from splitnet import _core
from splitnet.arguments import check_model, given
from splitnet.closing import close_at_exit
from splitnet.errors import InvalidArgument
from splitnet.partitioner import Partitioner


class Worker:
    """Serves models at one endpoint or several. The program `splitnet worker` does the same in a process of its own.

    `models` is one Partitioner, which is served under its name, or models by name. `listen` is an endpoint: port 0
    chooses a free one, and `address` says which. Endpoints that other machines can reach need a `token` or TLS.

    Thread-safe. Close it, or use it in a `with`: then what is under way is finished first (`drain`). Raises
    InvalidArgument, Unavailable (address in use).
    """

    def __init__(
        self,
        models: Partitioner | Mapping[str, _core.Model],
        listen: str | Sequence[str] = "tcp://127.0.0.1:0",
        *,
        threads: int = 0,
        token: str = "",
        registry: _core.TransportRegistry | None = None,
        options: _core.WorkerOptions | None = None,
        listen_options: _core.ListenOptions | None = None,
    ) -> None:
        transports = registry or _core.default_registry()
        settings = (options or _core.WorkerOptions()).replace(**given(registry=registry))
        self._core = _core.Worker(settings.replace(stage=_core.StageOptions(threads=threads)) if threads else settings)
        served = {models.name: models} if isinstance(models, Partitioner) else models
        if not isinstance(served, Mapping):
            check_model(served)  # Which it is not, or a Model without a name.
            raise InvalidArgument('models: found a model without a name, expected {"name": model}')
        for name, model in served.items():
            check_model(model)
            self._core.add_model(name, model)
        access = listen_options or _core.ListenOptions()
        if token:
            access = access.replace(token=token)
        endpoints = [listen] if isinstance(listen, str) else listen
        self._addresses = [self._core.serve(transports, endpoint, access) for endpoint in endpoints]
        self._status_servers: list[_core.StatusServer] = []
        close_at_exit(self)

    @property
    def address(self) -> str:
        """What reaches the first endpoint, with the port that was chosen."""
        return self._addresses[0]

    @property
    def addresses(self) -> list[str]:
        """What reaches each endpoint."""
        return list(self._addresses)

    @property
    def model_names(self) -> list[str]:
        """In alphabetical order."""
        return self._core.model_names

    @property
    def stats(self) -> _core.WorkerStats:
        """Counters since the worker was made, and what it does now."""
        return self._core.stats

    @property
    def readiness(self) -> str | None:
        """Why requests had better go elsewhere; None: it is ready."""
        return self._core.readiness

    def replace_model(self, name: str, model: _core.Model) -> bool:
        """From now on requests for this name get this version; False when it is the same one."""
        return self._core.replace_model(name, model)

    def serve_status(self, endpoint: str, *, allow_remote: bool = False) -> _core.StatusServer:
        """Serves /livez, /readyz and /metrics (Prometheus) over HTTP at `HOST:PORT`, until the worker closes."""
        server = self._core.serve_status(endpoint, allow_remote)
        self._status_servers.append(server)
        return server

    def __repr__(self) -> str:
        return f"<Worker at {', '.join(self._addresses)}: {', '.join(self.model_names)}>"

    def drain(self, timeout_s: float = 30) -> bool:
        """Refuses requests from now on, and waits for those under way; False when time ran out first."""
        return self._core.drain(timeout_s)

    def close(self) -> None:
        """Answers what waits with Unavailable, and ends. Idempotent."""
        for server in self._status_servers:
            server.close()
        self._core.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self.drain()
        self.close()
