# SPDX-License-Identifier: Apache-2.0
"""Everything at once, for a person or as a check; `run` starts it."""

from __future__ import annotations

import argparse
import secrets
import signal
import sys
from pathlib import Path

import splitnet
from common.command_line import end_on_signals
from common.environment import in_environment
from common.package_files import ROOT
from common.server_process import running_server
from common.serving import port_number
from common.worker_token import VARIABLE
from detection import client, cloud, measure, model_files
from detection.route import NotAnswered, PictureRefused

_OUT = ROOT / "build/detection"


def main(arguments: list[str] | None = None) -> int:
    """The exit status: 0 when all is right. Without --check it runs on until Ctrl-C (130) or SIGTERM (143)."""
    parser = argparse.ArgumentParser(prog="examples/detection/run", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="end after the table; 0 only if everything worked")
    parser.add_argument(
        "--port", type=port_number, default=8080, help="of the server; 0 chooses a free one (%(default)s)"
    )
    parser.add_argument("--repetitions", type=int, default=3, help="of all photos, for the table (%(default)s)")
    parser.add_argument("--link", default="", help="before the split's function, as up=20Mbit,down=50Mbit,delay=10ms")
    options = parser.parse_args(arguments)
    if options.repetitions < 1:
        parser.error(f"--repetitions {options.repetitions}, expected at least 1")
    end_on_signals()
    try:
        return _run(options)
    except (splitnet.Error, NotAnswered, PictureRefused, RuntimeError, OSError) as error:
        print(f"detection: {error}", file=sys.stderr)
        return 1


def _run(options: argparse.Namespace) -> int:
    sizes = cloud.Sizes()
    token = secrets.token_hex(32)  # The tail's URL, behind a modelled link, asks for it.
    with cloud.started(sizes=sizes, token=token) as aws, in_environment({**aws.environment, VARIABLE: token}):
        with running_server("detection.server", "--port", "0" if options.check else str(options.port)) as server:
            photos = model_files.sample_photos()[0].parent
            print(f"\n== {len(model_files.sample_photos())} photos to the local server, {server.url}")
            failed = client.main([str(photos), "--server", server.url, "--draw", str(_OUT / "drawn")])
            print("\n== local, remote and split")
            report = measure.measure(aws, server, sizes, model_files.sample_photos(), options.repetitions, options.link)
            print(report.text())
            print(f"\n== the photos once more through S3, the function {cloud.WHOLE}, by now hot, and DynamoDB")
            failed |= client.main([str(photos), "--remote", "--bucket", cloud.BUCKET, "--table", cloud.TABLE])
            _OUT.mkdir(parents=True, exist_ok=True)
            (_OUT / "report.json").write_text(report.to_json() + "\n")
            print(f"\nAs JSON: {_OUT / 'report.json'}. The photos with boxes: {_OUT / 'drawn'}")
            if not options.check:
                _wait(server.url, aws.environment, photos)
            return 1 if failed or report.failures else 0


def _wait(url: str, environment: dict[str, str], photos: Path) -> None:
    print(f"\nThe server is at {url}. Try it:")
    picture = f'"$(base64 -w0 {photos / "cat.jpg"})"'
    print(f"""  printf '{{"id": "1", "image_data": "%s"}}' {picture} | curl --data-binary @- {url}""")
    print(
        f"The stand-ins for AWS, for other programs (aws, boto3, splitnet); bucket {cloud.BUCKET}, table {cloud.TABLE}:"
    )
    print("\n".join(f"  export {name}={value}" for name, value in environment.items()))
    print("Ctrl-C ends everything.", flush=True)
    signal.pause()


if __name__ == "__main__":
    sys.exit(main())
