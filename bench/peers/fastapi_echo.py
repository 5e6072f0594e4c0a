# SPDX-License-Identifier: Apache-2.0
"""FastAPI behind uvicorn with torch.save bodies, asked by requests, for bench/transports.py (echo_program.hpp)."""

import concurrent.futures
import functools
import io
import queue
import socket
import threading
import time

import fastapi
import requests
import torch
import uvicorn

import echo_program

app = fastapi.FastAPI()


def saved(tensor: torch.Tensor) -> bytes:
    body = io.BytesIO()
    torch.save(tensor, body)
    return body.getvalue()


def loaded(body: bytes) -> torch.Tensor:
    return torch.load(io.BytesIO(body), weights_only=True)


@functools.cache
def ready_reply(size_bytes: int) -> torch.Tensor:
    return torch.full((size_bytes,), ord("x"), dtype=torch.uint8)


@app.post("/echo")
async def echo(request: fastapi.Request) -> fastapi.Response:
    tensor = loaded(await request.body())
    reply = ready_reply(echo_program.reply_bytes_of(tensor[:8].numpy().tobytes()))
    return fastapi.Response(saved(reply), media_type="application/octet-stream")


def server() -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_keep_alive=3600)
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
    thread.start()
    while not running.started and thread.is_alive():
        time.sleep(0.01)
    echo_program.say(f"http://127.0.0.1:{listening.getsockname()[1]}")
    echo_program.serve()
    running.should_exit = True
    thread.join()


class Client:
    """Blocking calls: a thread and a connection for each slot; a single one is the calling thread."""

    def __init__(self, address: str):
        self.url = f"{address}/echo"
        self.sessions: list[requests.Session] = []

    def call(self, slot: int, request: torch.Tensor) -> int:
        reply = self.sessions[slot].post(self.url, data=saved(request))
        reply.raise_for_status()
        return loaded(reply.content).numel()

    def measure(self, load: echo_program.Load) -> dict:
        request = torch.frombuffer(bytearray(load.request()), dtype=torch.uint8)
        while len(self.sessions) < load.in_flight:
            self.sessions.append(requests.Session())
            self.sessions[-1].trust_env = False
        if load.in_flight == 1:
            return echo_program.run_completions(load, lambda slot: None, lambda: (0, self.call(0, request)))
        ended: queue.SimpleQueue = queue.SimpleQueue()

        def wait() -> tuple[int, int]:
            slot, future = ended.get()
            return slot, future.result()

        with concurrent.futures.ThreadPoolExecutor(load.in_flight) as pool:

            def start(slot: int) -> None:
                future = pool.submit(self.call, slot, request)
                future.add_done_callback(lambda done: ended.put((slot, done)))

            return echo_program.run_completions(load, start, wait)


if __name__ == "__main__":
    echo_program.run(server, lambda address: echo_program.call(Client(address).measure))
