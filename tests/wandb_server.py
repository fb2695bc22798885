"""What answers as a server of Weights & Biases, on the loopback: theirs cannot be had here. It takes runs, and may break."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

KEY = "0123456789" * 4
OPERATION = re.compile(r"\s*(?:query|mutation)\s+(\w+)")


@dataclass
class WandbServer:
    """A server, and what clients have sent to it."""

    url: str = ""
    status: int = 200  # what every request gets; other than 200: nothing is taken
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)  # identity -> what the client said of it, as variables
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  # identity -> its history
    summaries: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)  # name -> content, of runs and artifacts
    artifacts: list[dict[str, Any]] = field(default_factory=list)
    exit_codes: dict[str, int] = field(default_factory=dict)
    asked: int = 0  # requests
    said: list[bytes] = field(default_factory=list)  # bodies of all requests but files

    def answer(self, operation: str, given: dict[str, Any]) -> dict[str, Any]:
        """What a GraphQL request gets."""
        match operation:
            case "UpsertBucket":
                run = self.runs.setdefault(given["name"], {})
                run |= {name: value for name, value in given.items() if value is not None}
                place = {"id": "p", "name": given["project"], "entity": {"id": "e", "name": "somebody"}}
                bucket = {"id": "b", "name": given["name"], "displayName": run.get("displayName"), "project": place}
                return {"upsertBucket": {"bucket": bucket | {"historyLineCount": 0}, "inserted": True}}
            case "Viewer":
                viewer = {"id": "v", "entity": "somebody", "username": "somebody", "flags": "{}", "teams": {"edges": []}}
                return {"viewer": viewer}
            case "ArtifactType":
                return {"project": None}
            case "CreateRunFiles":
                files = [{"name": name, "uploadUrl": f"{self.url}/upload/{name}"} for name in given["files"]]
                return {"createRunFiles": {"runID": "b", "uploadHeaders": [], "files": files}}
            case "CreateArtifact":
                self.artifacts.append(given["input"])
                artifact = {"id": "a", "state": "PENDING", "artifactSequence": {"id": "s", "latestArtifact": None}}
                return {"createArtifact": {"artifact": artifact}}
            case "CreateArtifactManifest":
                file = {"id": "f", "name": "m", "displayName": "m", "uploadUrl": f"{self.url}/upload/wandb_manifest.json"}
                return {"createArtifactManifest": {"artifactManifest": {"id": "m", "file": file | {"uploadHeaders": []}}}}
            case "CreateArtifactFiles":
                nodes = [self._artifact_file(file["name"]) for file in given["input"]["artifactFiles"]]
                return {"createArtifactFiles": {"files": {"edges": [{"node": node} for node in nodes]}}}
            case "CommitArtifact":
                return {"commitArtifact": {"artifact": {"id": "a", "digest": "d"}}}
        return {}

    def stream(self, identity: str, sent: dict[str, Any]) -> None:
        """Takes history and summary of a run."""
        files = sent.get("files") or {}
        rows = files.get("wandb-history.jsonl", {}).get("content", [])
        self.rows.setdefault(identity, []).extend(json.loads(row) for row in rows)
        for summary in files.get("wandb-summary.json", {}).get("content", []):
            self.summaries[identity] = json.loads(summary)
        if sent.get("exitcode") is not None:
            self.exit_codes[identity] = sent["exitcode"]

    def config(self, identity: str) -> dict[str, Any]:
        """The configuration of a run, without what wandb keeps for itself."""
        values = json.loads(self.runs[identity]["config"])
        return {name: value["value"] for name, value in values.items() if name != "_wandb"}

    def _artifact_file(self, name: str) -> dict[str, Any]:
        node = {"id": name, "name": name, "displayName": name, "uploadUrl": f"{self.url}/upload/artifact/{name}"}
        return node | {"uploadHeaders": [], "uploadMultipartUrls": None, "storagePath": name, "artifact": {"id": "a"}}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: WandbServer

    def do_GET(self) -> None:
        self._answer({})

    def do_PUT(self) -> None:
        body = self._body()
        if self.state.status == 200:
            self.state.files[self.path.removeprefix("/upload/")] = body
        self._answer({})

    def do_POST(self) -> None:
        body = self._body()
        self.state.said.append(body)
        if self.state.status != 200:
            self._answer({"errors": [{"message": "it has broken"}]})
        elif self.path == "/graphql":
            asked = json.loads(body)
            found = OPERATION.match(asked["query"])
            self._answer({"data": self.state.answer(found[1] if found else "", asked.get("variables") or {})})
        else:
            self.state.stream(self.path.split("/")[-2], json.loads(body))
            self._answer({})

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _answer(self, value: dict[str, Any]) -> None:
        self.state.asked += 1
        data = json.dumps(value).encode()
        self.send_response(self.state.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class _Server(ThreadingHTTPServer):
    daemon_threads = True  # clients keep connections open

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing of connections that are broken off."""


@contextmanager
def wandb_server() -> Iterator[WandbServer]:
    """A server; the environment of the block names it and has a key for it."""
    state = WandbServer()
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"state": state}))
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_BASE_URL", state.url)
        patch.setenv("WANDB_API_KEY", KEY)
        yield state
    server.shutdown()
    server.server_close()
    thread.join()
