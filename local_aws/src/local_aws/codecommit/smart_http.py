"""`git clone` and `git push` over HTTP: a WSGI application around git's own http-backend.

    GET  <repository>/info/refs?service=git-upload-pack|git-receive-pack
    POST <repository>/git-upload-pack    a clone or fetch; the answer is passed on as it comes
    POST <repository>/git-receive-pack   a push; the repository has one writer at a time

Basic login is asked for, as CodeCommit does. A request's body is put into a file first, so that a
slow client holds no lock and no pack has to fit into memory.
"""

from __future__ import annotations

import http
import logging
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING
from urllib.parse import parse_qs
from wsgiref.types import StartResponse, WSGIEnvironment

from werkzeug.exceptions import ClientDisconnected
from werkzeug.wsgi import get_input_stream

from local_aws.codecommit.git import GitError, find_http_backend, git_environment

if TYPE_CHECKING:
    from local_aws.codecommit.bare_repository import BareRepository

logger = logging.getLogger(__name__)

_ENDPOINT = re.compile(r"(?P<name>.+)/(?P<action>info/refs|git-upload-pack|git-receive-pack)")
_PASSED_ON = ("REQUEST_METHOD", "QUERY_STRING", "CONTENT_TYPE", "SERVER_PROTOCOL", "REMOTE_ADDR",
              "HTTP_CONTENT_ENCODING", "HTTP_GIT_PROTOCOL")  # fmt: skip
_CHUNK = 1 << 16
_PUSH_LIMIT_SECONDS = 600.0


class RepositoryNotFound(Exception):
    """There is no such repository; the message is shown by git to who asked."""


# From the repository's name in the URL, and whether it is about to be pushed to.
Find = Callable[[str, bool], "BareRepository"]


@dataclass(frozen=True, kw_only=True)
class SmartHttp:
    """Serves the repositories that `find` knows, below the path `prefix`.

    `find` raises RepositoryNotFound; `caller` is who logs in to the repository at a path, or None.
    """

    prefix: str
    find: Find
    caller: Callable[[WSGIEnvironment, str], str | None]

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request of a git client."""
        try:
            return self._answer(environ, start_response)
        except RepositoryNotFound as err:
            return _say(start_response, http.HTTPStatus.NOT_FOUND, str(err))
        except ClientDisconnected:
            return _say(start_response, http.HTTPStatus.BAD_REQUEST, "the request is incomplete")
        except (GitError, subprocess.TimeoutExpired) as err:
            logger.exception("%s %s", environ["REQUEST_METHOD"], environ["PATH_INFO"])
            return _say(start_response, http.HTTPStatus.INTERNAL_SERVER_ERROR, f"local_aws: {err}")

    def _answer(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"].removeprefix(self.prefix)
        match = _ENDPOINT.fullmatch(path)
        if match is None:
            raise RepositoryNotFound(
                f"{environ['PATH_INFO']} is for git: git clone <URL of this server>{self.prefix}..."
            )
        action = match["action"]
        caller_arn = self.caller(environ, f"{self.prefix}{match['name']}")
        if caller_arn is None:
            return _say(
                start_response,
                http.HTTPStatus.UNAUTHORIZED,
                "log in with `aws codecommit credential-helper`, and the credentials of "
                "`local-aws env`",
                ("WWW-Authenticate", 'Basic realm="local_aws"'),
            )
        asked = parse_qs(environ.get("QUERY_STRING", "")).get("service", [""])[0]
        if action == "info/refs" and not asked:
            return _say(start_response, http.HTTPStatus.FORBIDDEN, "use git 1.6.6 or later")
        pushes = "git-receive-pack" in (action, asked)
        repository = self.find(match["name"], pushes)
        with ExitStack() as stack:
            body = stack.enter_context(tempfile.TemporaryFile())
            shutil.copyfileobj(get_input_stream(environ), body)
            program = _Backend(
                command=str(find_http_backend()),
                body=body,
                environment={
                    **git_environment(),
                    **{name: environ[name] for name in _PASSED_ON if name in environ},
                    "CONTENT_LENGTH": str(body.tell()),
                    "PATH_INFO": f"/{path}",
                    "PATH_TRANSLATED": f"{repository.path}/{action}",
                    "GIT_HTTP_EXPORT_ALL": "1",
                    "REMOTE_USER": caller_arn.rpartition("/")[2],
                },
            )
            if action == "git-receive-pack":
                with repository.writing(caller_arn):
                    answer = program.run()
                return answer.begin(start_response, [answer.text])
            if action == "info/refs":
                answer = program.run()
                return answer.begin(start_response, [answer.text])
            process = stack.enter_context(program.start())
            assert process.stdout is not None
            head = _read_head(process.stdout)
            started = stack.pop_all()
            return head.begin(start_response, _PassedOn(process, started))


@dataclass(frozen=True, kw_only=True)
class _Backend:
    """git http-backend, ready to be run on one request."""

    command: str
    body: IO[bytes]
    environment: Mapping[str, str]

    def run(self) -> _Head:
        """The whole answer at once."""
        self.body.seek(0)
        done = subprocess.run(
            [self.command],
            stdin=self.body,
            capture_output=True,
            env=dict(self.environment),
            timeout=_PUSH_LIMIT_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            logger.warning("git http-backend: %s", done.stderr.decode(errors="replace").strip())
        text, _, rest = done.stdout.partition(b"\r\n\r\n")
        return _Head.read(text, rest)

    def start(self) -> subprocess.Popen[bytes]:
        """The running program, to read its answer from."""
        self.body.seek(0)
        return subprocess.Popen(
            [self.command],
            stdin=self.body,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=dict(self.environment),
        )


@dataclass(frozen=True)
class _Head:
    """The head of a CGI answer, and the text after it if that was read already."""

    status: str
    headers: list[tuple[str, str]]
    text: bytes = b""

    @classmethod
    def read(cls, head: bytes, text: bytes = b"") -> _Head:
        """Status and headers out of their lines; 200 is what CGI means without a status."""
        status, headers = "200 OK", []
        for line in head.decode("latin-1").splitlines():
            name, _, value = line.partition(":")
            if name.lower() == "status":
                status = value.strip()
            elif name:
                headers.append((name, value.strip()))
        if not headers:
            raise GitError("git http-backend ended without an answer")
        return cls(status, headers, text)

    def begin(self, start_response: StartResponse, body: Iterable[bytes]) -> Iterable[bytes]:
        """The answer as WSGI wants it."""
        start_response(self.status, self.headers)
        return body


def _read_head(stream: IO[bytes]) -> _Head:
    lines = []
    while (line := stream.readline()).strip():
        lines.append(line)
    return _Head.read(b"".join(lines))


class _PassedOn:
    """What the program writes, as it comes; closing it, as a WSGI server does, ends the program."""

    def __init__(self, process: subprocess.Popen[bytes], started: ExitStack) -> None:
        self._process = process
        self._started = started

    def __iter__(self) -> Iterator[bytes]:
        assert self._process.stdout is not None
        while chunk := self._process.stdout.read1(_CHUNK):  # type: ignore[attr-defined]
            yield chunk

    def close(self) -> None:
        """End the program if it still runs: the client may have left."""
        self._process.kill()
        self._started.close()


def _say(
    start_response: StartResponse,
    status: http.HTTPStatus,
    text: str,
    *headers: tuple[str, str],
) -> Iterable[bytes]:
    """A text that git shows to the person, each line after `remote:`."""
    body = text.encode() + b"\n"
    start_response(
        f"{status.value} {status.phrase}",
        [
            *headers,
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Length", str(len(body))),
        ],
    )
    return [body]
