# SPDX-License-Identifier: Apache-2.0
"""torch.distributed.rpc over TCP, for bench/transports.py (echo_program.hpp): a tensor there, a tensor back."""

import functools
import os
import queue
import tempfile

import torch
import torch.distributed.rpc as rpc

import echo_program


@functools.cache
def ready_reply(size_bytes: int) -> torch.Tensor:
    return torch.full((size_bytes,), ord("x"), dtype=torch.uint8)


def reply_to(request: torch.Tensor) -> torch.Tensor:
    return ready_reply(echo_program.reply_bytes_of(request[:8].numpy().tobytes()))


def join(name: str, rank: int, address: str) -> None:
    # As between two machines: neither shared memory nor reading from process to process.
    options = rpc.TensorPipeRpcBackendOptions(
        init_method=address, rpc_timeout=0, _transports=["uv"], _channels=["mpt_uv", "basic"]
    )
    rpc.init_rpc(name, rank=rank, world_size=2, rpc_backend_options=options)


def server() -> None:
    with tempfile.TemporaryDirectory() as folder:
        address = f"file://{folder}/rendezvous"
        echo_program.say(address)
        join("server", 0, address)
        echo_program.serve()
        rpc.shutdown(graceful=False)


def measure(load: echo_program.Load) -> dict:
    request = torch.frombuffer(bytearray(load.request()), dtype=torch.uint8)
    ended: queue.SimpleQueue = queue.SimpleQueue()

    def start(slot: int) -> None:
        future = rpc.rpc_async("server", reply_to, args=(request,))
        future.add_done_callback(lambda done: ended.put((slot, done)))

    def wait() -> tuple[int, int]:
        slot, future = ended.get()
        return slot, future.value().numel()

    return echo_program.run_completions(load, start, wait)


def client(address: str) -> None:
    join("client", 1, address)
    echo_program.call(measure)
    rpc.shutdown(graceful=False)


if __name__ == "__main__":
    os.environ["TP_SOCKET_IFNAME"] = "lo"
    echo_program.run(server, client)
