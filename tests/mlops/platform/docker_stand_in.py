"""A `docker` for machines without one: it notes how it is called, and answers as docker would.

`push` puts a manifest into the account's ECR; `run --detach` really serves, though not from an
image. Its notes are lines of JSON in $DOCKER_NOTES; $DOCKER_FAULT makes one thing go wrong.
"""

import hashlib
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

NOTES = Path(os.environ["DOCKER_NOTES"])
FAULT = os.environ.get("DOCKER_FAULT", "")
LOCK = Path("requirements/mlflow-server.txt")
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
SERVER = """
import http.server, json, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(b"")
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        factor = 3 if sys.argv[2] == "wrong answer" else 2
        if self.headers["Content-Type"] == "text/csv":
            rows = [line.split(",") for line in body.splitlines()[1:]]
            sizes = [float("nan" if size == "NA" else size) for _, size in rows]
            codes = [code for code, _ in rows]
            predictions = [
                {"code": 2 * code, "size": factor * size} for code, size in zip(codes, sizes)
            ]
        else:
            predictions = [factor * number for number in json.loads(body)["inputs"]]
        self.answer(json.dumps({"predictions": predictions}).encode())
    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass

http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def main(words: list[str]) -> int:
    note: dict[str, object] = {"arguments": words}
    match words[0]:
        case "login":
            note["password"] = sys.stdin.read().strip()
        case "version":
            print("28.3.3")
        case "build":
            file = next(w for flag, w in itertools.pairwise(words) if flag in FILE_FLAGS)
            note["dockerfile"] = Path(file).read_text()
        case "push":
            push(words[-1])
        case "inspect":
            print(str(is_running(int(words[-1]))).lower())
        case "logs":
            print("what the container printed")
        case "rm":
            subprocess.run(["kill", words[-1]], check=False, stderr=subprocess.DEVNULL)
        case "run":
            note["model"] = run(words)
    with NOTES.open("a") as notes:
        notes.write(json.dumps(note) + "\n")
    return 1 if f"{words[0]} fails" == FAULT else 0


FILE_FLAGS = ("-f", "--file")


def run(words: list[str]) -> list[str]:
    """The files of the model that is mounted."""
    if "--detach" in words:
        port = words[words.index("--publish") + 1].split(":")[1]
        folder = words[words.index("--volume") + 1].split(":")[0]
        code = "raise SystemExit(3)" if FAULT == "container ends" else SERVER
        command = [sys.executable, "-c", code, port, FAULT]
        print(subprocess.Popen(command, stdout=subprocess.DEVNULL).pid)
        return sorted(path.name for path in Path(folder).iterdir())
    if "id" in words:
        print("0" if FAULT == "root" else "10001")
    elif "mlflow" in words:
        lock = next(line for line in LOCK.read_text().splitlines() if line.startswith("mlflow=="))
        print(f"mlflow, version {lock.split()[0].partition('==')[2]}")
    else:
        print("usage: tracking_server.py")
    return []


def is_running(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


def push(image: str) -> None:
    import boto3

    name, _, tag = image.partition("/")[2].partition(":")
    kind = OCI_INDEX if FAULT == "oci index" else DOCKER_MANIFEST
    digest = f"sha256:{hashlib.sha256(image.encode()).hexdigest()}"
    layers = [{"mediaType": "layer", "size": 1, "digest": digest}]
    boto3.client("ecr").put_image(
        repositoryName=name,
        imageTag=tag,
        imageManifestMediaType=kind,
        imageManifest=json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": kind,
                "config": {"mediaType": "config", "size": 1, "digest": digest},
                "layers": layers,
            }
        ),
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
