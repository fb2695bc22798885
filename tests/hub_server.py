"""A Hugging Face hub on the loopback for tests: repositories with commits, as far as its API is used here."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

OWNER, READER = "hf_owner", "hf_reader"  # tokens: of ann, who may write to what is hers, and of bob, who has the right to read
USERS = {OWNER: "ann", READER: "bob"}
LARGE = (".safetensors", ".onnx", ".parquet", ".png", ".jpg")  # what goes to LFS
RESOLVE = re.compile(r"/(?:(datasets)/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)")
API = re.compile(r"/api/(model|dataset)s/([^/]+/[^/]+)(?:/([^/]+))?(?:/([^/]+))?(?:/(.+))?")
Files = dict[str, bytes]


@dataclass
class Repository:
    """One repository: the files of each commit, and which commit a branch is at."""

    private: bool = False
    commits: dict[str, Files] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    def commit(self, files: Files, message: str = "files", branch: str = "main") -> str:
        """Puts files in place of all of a branch; returns the commit."""
        oid = hashlib.sha1(repr((len(self.commits), sorted(files), message)).encode()).hexdigest()
        self.commits[oid], self.branches[branch] = dict(files), oid
        self.messages.append(message)
        return oid

    def at(self, revision: str) -> str | None:
        """The commit of a branch or a commit's own name."""
        found = self.branches.get(revision, revision)
        return found if found in self.commits else None


@dataclass
class Hub:
    """What the server has, and what was asked of it."""

    endpoint: str = ""
    repositories: dict[tuple[str, str], Repository] = field(default_factory=dict)
    objects: Files = field(default_factory=dict)  # of LFS, by digest
    page: int = 1000  # entries of a listing that come together
    asked: list[str] = field(default_factory=list)  # method and path of each request
    served: int = 0  # bytes of files
    agents: set[str] = field(default_factory=set)
    failing: list[int] = field(default_factory=list)  # statuses with which the next requests for files end
    before_commit: Callable[[], object] | None = None  # what happens between the look at a branch and the commit

    def put(self, name: str, files: Files, kind: str = "model", *, private: bool = False) -> Repository:
        """A repository with one commit."""
        repository = self.repositories.setdefault((kind, name), Repository(private))
        repository.commit(files)
        return repository

    def put_folder(self, folder: Path, name: str, kind: str = "model") -> Repository:
        """A repository with the files of a folder."""
        found = {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
        return self.put(name, found, kind)

    def environment(self, token: str = OWNER) -> dict[str, str]:
        """What a process is told, so that it asks here, with a token or without."""
        return {"HF_ENDPOINT": self.endpoint, "HF_TOKEN": token, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}


def git_digest(content: bytes) -> str:
    """The name that git gives to a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def entry(path: str, content: bytes) -> dict[str, Any]:
    """A file as a listing has it."""
    about: dict[str, Any] = {"type": "file", "path": path, "size": len(content), "oid": git_digest(content)}
    if path.endswith(LARGE):
        about["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 100}
    return about


def tree(files: Files, folder: str, *, recursive: bool) -> list[dict[str, Any]] | None:
    """What is in a folder; None if there is none."""
    start = f"{folder}/" if folder else ""
    below = {path: content for path, content in files.items() if path.startswith(start)}
    if not below and folder:
        return None
    found = {}
    for path, content in sorted(below.items()):
        parts = path.removeprefix(start).split("/")
        for depth in range(1, len(parts)):
            if recursive or depth == 1:
                name = start + "/".join(parts[:depth])
                found[name] = {"type": "directory", "path": name, "oid": git_digest(name.encode())}
        if recursive or len(parts) == 1:
            found[path] = entry(path, content)
    return list(found.values())


def what_is_wrong_with(card: str) -> str:
    """What the hub would say of a card's metadata; "" if it is fine."""
    parts = card.split("---\n", 2)
    if len(parts) < 3 or parts[0]:
        return "no metadata"
    about = yaml.safe_load(parts[1])
    needed = {"license", "library_name", "pipeline_tag", "tags"}
    return "" if isinstance(about, dict) and needed <= set(about) else "metadata is not complete"


class HubHandler(BaseHTTPRequestHandler):
    """Answers as the hub does."""

    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_: object) -> None:
        """Says nothing."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        place = self.begin()
        if found := RESOLVE.fullmatch(place.path):
            self.send_file("dataset" if found[1] else "model", found[2], unquote(found[3]), unquote(found[4]))
        elif place.path.startswith("/objects/"):
            self.send_content(self.hub.objects[place.path.rpartition("/")[2]], {})
        elif found := API.fullmatch(place.path):
            self.tell(found[1], found[2], found[3], unquote(found[4] or "main"), unquote(found[5] or ""), parse_qs(place.query))
        else:
            self.refuse(404, "", "Not found")

    def do_POST(self) -> None:
        place, body = self.begin(), self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if place.path == "/api/validate-yaml":
            wrong = what_is_wrong_with(json.loads(body)["content"])
            self.send_json({"errors": [{"message": wrong}] if wrong else [], "warnings": []}, 400 if wrong else 200)
        elif self.user is None:
            self.refuse(401, "", "Invalid username or password.")
        elif place.path == "/api/repos/create":
            self.create(json.loads(body))
        elif place.path.endswith("/info/lfs/objects/batch"):
            self.take_objects(json.loads(body)["objects"])
        elif found := API.fullmatch(place.path):
            self.change(found[1], found[2], found[3], unquote(found[4] or ""), body)
        else:
            self.refuse(404, "", "Not found")

    def do_PUT(self) -> None:
        place, body = self.begin(), self.rfile.read(int(self.headers.get("Content-Length") or 0))
        oid = place.path.rpartition("/")[2]
        if hashlib.sha256(body).hexdigest() != oid:
            self.refuse(400, "", "another file")
            return
        self.hub.objects[oid] = body
        self.send_content(b"", {})

    def begin(self) -> Any:
        self.hub.asked.append(f"{self.command} {self.path}")
        self.hub.agents.add(self.headers.get("User-Agent", ""))
        return urlsplit(self.path)

    @property
    def user(self) -> str | None:
        """Who asks; None for nobody, "" for whoever has a token that is none."""
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        return USERS.get(token, "") if token else None

    def repository(self, kind: str, name: str) -> Repository | None:
        """A repository that whoever asks may see; else that is said."""
        found = self.hub.repositories.get((kind, name))
        if self.user == "":
            self.refuse(401, "", "Invalid credentials in Authorization header")
        elif found is None or (found.private and self.user != name.split("/")[0]):
            self.refuse(401 if self.user is None else 404, "RepoNotFound", "Repository not found")
        else:
            return found
        return None

    def files(self, kind: str, name: str, revision: str) -> tuple[str, Files] | None:
        repository = self.repository(kind, name)
        if repository is None:
            return None
        commit = repository.at(revision)
        if commit is None:
            self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return None
        return commit, repository.commits[commit]

    def tell(self, kind: str, name: str, what: str | None, revision: str, path: str, query: dict[str, list[str]]) -> None:
        if what == "tree":
            self.send_tree(kind, name, revision, path, query)
            return
        found = self.files(kind, name, revision)
        if found is not None:
            repository = self.hub.repositories[kind, name]
            about = {"id": name, "sha": found[0], "private": repository.private, "gated": False, "tags": []}
            self.send_json(about | {"siblings": [{"rfilename": path} for path in found[1]]})

    def send_tree(self, kind: str, name: str, revision: str, path: str, query: dict[str, list[str]]) -> None:
        found = self.files(kind, name, revision)
        if found is None:
            return
        entries = tree(found[1], path, recursive=query.get("recursive", ["false"])[0].lower() == "true")
        if entries is None:
            self.refuse(404, "EntryNotFound", f"{path} does not exist on {revision}")
            return
        start = int(query.get("cursor", ["0"])[0])
        end = start + self.hub.page
        following = self.path.split("?")[0] + f"?recursive={query.get('recursive', ['false'])[0]}&cursor={end}"
        more = {"Link": f'<{self.hub.endpoint}{following}>; rel="next"'} if end < len(entries) else {}
        self.send_json(entries[start:end], headers=more)

    def send_file(self, kind: str, name: str, revision: str, path: str) -> None:
        if self.hub.failing:
            self.refuse(self.hub.failing.pop(0), "", "in passing")
            return
        found = self.files(kind, name, revision)
        if found is None:
            return
        commit, files = found
        if path not in files:
            self.refuse(404, "EntryNotFound", "Entry not found")
            return
        content, headers = files[path], {"X-Repo-Commit": commit}
        if not path.endswith(LARGE):
            self.send_content(content, headers | {"ETag": f'"{git_digest(content)}"'})
            return
        oid = hashlib.sha256(content).hexdigest()
        self.hub.objects[oid] = content
        self.send_response(302)
        about = {"Location": f"{self.hub.endpoint}/objects/{oid}", "X-Linked-Etag": f'"{oid}"', "Content-Length": "0"}
        for key, value in (headers | about | {"X-Linked-Size": str(len(content))}).items():
            self.send_header(key, value)
        self.end_headers()

    def create(self, wanted: dict[str, Any]) -> None:
        name, kind = f"{wanted['organization']}/{wanted['name']}", wanted.get("type", "model")
        if (kind, name) in self.hub.repositories:
            self.refuse(409, "", "You already created this model repo")
        elif not self.may_write(name):
            self.refuse(403, "", f"You don't have the rights to create a model under the namespace {name.split('/')[0]!r}")
        else:
            is_private = wanted.get("private") or wanted.get("visibility") == "private"
            self.hub.put(name, {".gitattributes": b"*.safetensors filter=lfs\n"}, kind, private=bool(is_private))
            self.send_json({"url": f"{self.hub.endpoint}/{name}", "id": name, "name": name})

    def may_write(self, name: str) -> bool:
        return self.user == name.split("/")[0]

    def take_objects(self, objects: list[dict[str, Any]]) -> None:
        answers = []
        for one in objects:
            upload = {"upload": {"href": f"{self.hub.endpoint}/objects/{one['oid']}", "header": {}}}
            answers.append(one if one["oid"] in self.hub.objects else one | {"actions": upload})
        self.send_json({"transfer": "basic", "objects": answers})

    def change(self, kind: str, name: str, what: str | None, revision: str, body: bytes) -> None:
        repository = self.repository(kind, name)
        if repository is None:
            return
        if what == "paths-info":
            wanted = parse_qs(body.decode()).get("paths", [])
            files = repository.commits[repository.at(revision) or ""]
            self.send_json([entry(path, files[path]) for path in wanted if path in files])
        elif not self.may_write(name):
            self.refuse(403, "", "you don't have the permission to write to this repository")
        elif what == "preupload":
            files = repository.commits[repository.at(revision) or ""]
            self.send_json({"files": [self.way_of(one["path"], files) for one in json.loads(body)["files"]]})
        elif what == "branch":
            repository.branches[revision] = repository.at(json.loads(body).get("startingPoint", "main")) or ""
            self.send_json({})
        elif what == "commit":
            self.commit(repository, name, revision, [json.loads(line) for line in body.splitlines()])

    @staticmethod
    def way_of(path: str, files: Files) -> dict[str, Any]:
        about = {"path": path, "uploadMode": "lfs" if path.endswith(LARGE) else "regular", "shouldIgnore": False}
        if path not in files:
            return about
        is_large = path.endswith(LARGE)
        return about | {"oid": hashlib.sha256(files[path]).hexdigest() if is_large else git_digest(files[path])}

    def commit(self, repository: Repository, name: str, revision: str, lines: list[dict[str, Any]]) -> None:
        if self.hub.before_commit:
            self.hub.before_commit()
        header = lines[0]["value"]
        head = repository.at(revision)
        if header.get("parentCommit", head) != head:
            self.refuse(412, "", "A commit has happened since. Please refresh and try again.")
            return
        files = dict(repository.commits[head or ""])
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.objects[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        oid = repository.commit(files, header["summary"], revision)
        url = f"{self.hub.endpoint}/{name}/commit/{oid}"
        self.send_json({"success": True, "commitOid": oid, "commitUrl": url, "hookOutput": ""})

    def refuse(self, status: int, code: str, message: str) -> None:
        body = json.dumps({"error": message}).encode()
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("X-Error-Message", message)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_json(self, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        for key, text in {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(key, text)
        self.end_headers()
        self.wfile.write(body)

    def send_content(self, content: bytes, headers: dict[str, str]) -> None:
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        start, end = (int(wanted[1]), int(wanted[2] or len(content) - 1) + 1) if wanted else (0, len(content))
        if wanted and start >= len(content):
            self.refuse(416, "", "Range Not Satisfiable")
            return
        part = content[start:end]
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{start + len(part) - 1}/{len(content)}")
        for key, text in (headers | {"Content-Length": str(len(part)), "Accept-Ranges": "bytes"}).items():
            self.send_header(key, text)
        self.end_headers()
        if self.command != "HEAD":
            self.hub.served += len(part)
            self.wfile.write(part)


@contextmanager
def hugging_face_hub() -> Iterator[Hub]:
    """A server without repositories. Processes find it by `hub.environment()`."""
    hub = Hub()
    handler = type("OwnHandler", (HubHandler,), {"hub": hub})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        hub.endpoint = f"http://127.0.0.1:{server.server_port}"
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()
