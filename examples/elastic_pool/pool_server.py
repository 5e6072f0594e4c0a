# SPDX-License-Identifier: Apache-2.0
"""Starts and ends the workers of a queue as a policy says, and shows a page about them.

    python -m elastic_pool.pool_server build/models/mobilenet_v2.pt --queue classify [--port 8081] [-- WORKER OPTION ...]

Region, endpoint and credentials come from the environment, as AWS's own programs have them. The queue and its dead-letter
queue are made if they are not there. SIGTERM lets the workers finish what they have, and it ends with 0; Ctrl-C likewise,
with 130.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Sequence

from aiohttp import web

from common.serving import Address, add_address, exit_status, serve
from elastic_pool.controller import Controller, ControllerOptions, queue_pool
from elastic_pool.policies import LatencyTarget, Policy, WaitingMinusRunning, WaitingPerWorker
from elastic_pool.pool_page import add_pool_page
from elastic_pool.this_machine import most_workers
from elastic_pool.work_queue import QueueError

#: By name: what makes a policy of the options.
POLICIES: dict[str, Callable[[argparse.Namespace], Policy]] = {
    "latency-target": lambda chosen: LatencyTarget(
        target_s=chosen.target_s,
        max_workers=chosen.max_workers,
        min_workers=chosen.min_workers,
        stop_after_s=chosen.stop_after_s,
        zero_after_s=chosen.zero_after_s,
    ),
    "waiting-minus-running": lambda chosen: WaitingMinusRunning(chosen.max_workers),
    "waiting-per-worker": lambda chosen: WaitingPerWorker(chosen.waiting_per_worker, chosen.max_workers),
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="elastic_pool.pool_server",
        description=(__doc__ or "").splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("models", nargs="+", metavar="[NAME=]MODEL", help="as splitnet-worker takes them")
    parser.add_argument("--queue", required=True, help="of SQS")
    parser.add_argument("--policy", choices=list(POLICIES), default="latency-target", help="ours, S2's, S4's")
    parser.add_argument("--max-workers", type=int, default=most_workers(), metavar="N", help="at once")
    parser.add_argument("--interval-s", type=float, default=1.0, metavar="S", help="between two looks at the queue")
    parser.add_argument("--target-s", type=float, default=2.0, metavar="S", help="ours: from queue to answer")
    parser.add_argument("--min-workers", type=int, default=0, metavar="N", help="ours: kept ready, a warm pool")
    parser.add_argument("--stop-after-s", type=float, default=15.0, metavar="S", help="ours: fewer are kept after that")
    parser.add_argument(
        "--zero-after-s", type=float, default=60.0, metavar="S", help="ours: all stop after so long idle"
    )
    parser.add_argument("--waiting-per-worker", type=int, default=5, metavar="N", help="S4's: its QoS")
    return parser


async def _serve(pool: Controller, address: Address) -> int:
    app = web.Application()
    add_pool_page(app, pool)
    return await serve(app, address, "/pool/")


def main(arguments: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if arguments is None else arguments)
    own, worker_options = (words[: words.index("--")], words[words.index("--") + 1 :]) if "--" in words else (words, [])
    parser = _parser()
    address_of = add_address(parser, 8081)
    chosen = parser.parse_args(own)
    address = address_of(chosen)
    try:
        policy = POLICIES[chosen.policy](chosen)
        options = ControllerOptions(interval_s=chosen.interval_s)
        with queue_pool(chosen.models, chosen.queue, policy, arguments=worker_options, options=options) as pool:
            return exit_status(asyncio.run(_serve(pool, address)))
    except (ValueError, OSError, QueueError, RuntimeError) as error:
        print(f"elastic_pool.pool_server: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:  # While it starts.
        return 130


if __name__ == "__main__":
    sys.exit(main())
