"""What S3's objects hold lies on disk: a file each, which moto takes for its own temporary file.

FakeKey._value_buffer  an ObjectFile instead of a SpooledTemporaryFile, which is memory below
                       5 MB and an open file above
FakeKey.value          a view of the file, mapped: no reader copies it
FakeMultipart.complete the parts joined on disk; their files are gone then
S3Response             sends a view piece by piece, a range without reading the rest
"""

from __future__ import annotations

import base64
import binascii
import functools
import io
import os
import shutil
import tempfile
import threading
import types
import uuid
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moto.s3 import models, responses, utils
from moto.s3.exceptions import EntityTooSmall, InvalidPart, MalformedXML
from moto.settings import S3_UPLOAD_PART_MIN_SIZE

_PIECE = 1 << 20


class ObjectFolder:
    """Where the files of this process's objects are; moto keeps one account for a process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._path: Path | None = None
        self._temporary: Path | None = None
        self._keeping = False
        self._users = 0
        self._unused: list[Path] = []

    def use(self, path: Path, *, keep: bool = False) -> None:
        """New objects go to `path`, if no other gateway of this process has a folder already.

        With `keep` a file goes only when `unused` has named it.
        """
        with self._lock:
            self._users += 1
            if self._users == 1:
                path.mkdir(parents=True, exist_ok=True, mode=0o700)
                self._path, self._keeping = path, keep

    def place(self, name: str) -> Path:
        """The path of the object file of that name."""
        with self._lock:
            if self._path is not None:
                return self._path / name
            # moto without a gateway: one folder for the process, as its objects may be read still.
            if self._temporary is None:
                self._temporary = Path(tempfile.mkdtemp(prefix="local-aws-objects-"))
                weakref.finalize(self, shutil.rmtree, self._temporary, ignore_errors=True)
            return self._temporary / name

    def drop(self, path: Path) -> None:
        """No object holds this any more; what is recorded on disk may."""
        with self._lock:
            if self._keeping:
                self._unused.append(path)
                return
        path.unlink(missing_ok=True)

    def leave(self) -> None:
        """A gateway has ended; without `keep` the objects end with the last one."""
        with self._lock:
            self._users -= 1
            if self._users == 0 and self._path is not None and not self._keeping:
                shutil.rmtree(self._path, ignore_errors=True)
                self._path = None

    @property
    def in_use(self) -> bool:
        """Whether a gateway serves the objects."""
        return self._users > 0

    def unused(self) -> list[Path]:
        """The files that no object holds any more, each told once."""
        with self._lock:
            unused, self._unused = self._unused, []
        return unused

    def keep_only(self, names: Collection[str]) -> None:
        """Remove the files of objects that nobody knows: their calls were never answered."""
        with self._lock:
            if self._path is None:
                return
            for path in self._path.iterdir():
                if path.name not in names:
                    path.unlink()


OBJECTS = ObjectFolder()


class ObjectFile:
    """The part of a temporary file's interface that moto uses; written once, as a whole."""

    def __init__(self, _max_size: int = 0) -> None:
        self.__setstate__(uuid.uuid4().hex)

    def __getstate__(self) -> str:
        return self._name

    def __setstate__(self, name: str) -> None:
        self._name = name
        self.path = OBJECTS.place(name)
        self._position = 0

    def seek(self, position: int) -> None:
        """Where `read` goes on."""
        self._position = position

    def truncate(self) -> None:
        """Nothing: each object is written once."""

    def write(self, content: Iterable[bytes]) -> None:
        """Make these pieces the content."""
        with self.path.open("wb") as file:
            file.writelines(content)

    def read(self, size: int = -1) -> bytes:
        """What comes from the position on."""
        with self.path.open("rb") as file:
            file.seek(self._position)
            content = file.read(size)
        self._position += len(content)
        return content

    def content(self) -> View:
        """All of it."""
        file = OpenFile(self.path)
        return View(file, 0, os.fstat(file.descriptor).st_size)

    def close(self) -> None:
        """The object is gone."""
        OBJECTS.drop(self.path)


class OpenFile:
    """A file open for reading as long as somebody has this, whatever becomes of its name."""

    def __init__(self, path: Path) -> None:
        self.descriptor = os.open(path, os.O_RDONLY)

    def __del__(self) -> None:
        if hasattr(self, "descriptor"):
            os.close(self.descriptor)


@dataclass(frozen=True)
class View:
    """A stretch of an open file, in place of bytes: read when it is looked at, piece by piece."""

    file: OpenFile
    start: int
    size: int

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, part: slice) -> View:
        start, end, _ = part.indices(self.size)
        return View(self.file, self.start + start, max(0, end - start))

    def __iter__(self) -> Iterator[bytes]:
        for offset in range(0, self.size, _PIECE):
            place = self.start + offset
            yield os.pread(self.file.descriptor, min(_PIECE, self.size - offset), place)

    def __bytes__(self) -> bytes:
        return b"".join(self)

    def decode(self, encoding: str = "utf-8") -> str:
        """As of bytes."""
        return bytes(self).decode(encoding)


def _complete(upload: Any, body: Iterable[tuple[int, str]]) -> tuple[ObjectFile, str, Any]:
    """FakeMultipart.complete, which would hold the object four times in memory."""
    parts: list[Any] = []
    for number, etag in body:
        part = upload.parts.get(number)
        if part is None or part.etag.strip('"') != etag.strip('"'):
            raise InvalidPart
        if parts and parts[-1].contentsize < S3_UPLOAD_PART_MIN_SIZE:
            raise EntityTooSmall
        parts.append(part)
    if not parts:
        raise MalformedXML
    digests = b"".join(bytes.fromhex(part.etag.strip('"')) for part in parts)
    whole = ObjectFile()
    whole.write(piece for part in parts for piece in part.value)
    checksum = _checksum(upload.metadata, parts, whole)
    for part in parts:
        part._value_buffer.close()
    return whole, f"{models.md5_hash(digests).hexdigest()}-{len(parts)}", checksum


def _checksum(metadata: Any, parts: list[Any], whole: ObjectFile) -> tuple[str, str, int]:
    builder = models.MultipartChecksumBuilder(
        metadata.get("x-amz-checksum-algorithm"), metadata.get("x-amz-checksum-type")
    )
    if builder.checksum_type == "COMPOSITE":
        for part in parts:
            builder.addPart(part.value)
        composite: tuple[str, str, int] = builder.build()
        return composite
    checksum = _compute_checksum(whole.content(), builder.checksum_algorithm)
    return builder.checksum_type, checksum.decode(), 1


def _compute_checksum(body: bytes | View, algorithm: str, encode_base64: bool = True) -> bytes:
    """moto's, which for the CRCs reads a view at once only where it has a library for them."""
    by_crc32 = algorithm == "CRC32" or (algorithm == "CRC64NVME" and not utils.HAS_CRT)
    if not isinstance(body, View) or not by_crc32:
        return utils.compute_checksum(bytes(body), algorithm, encode_base64)  # type: ignore[no-any-return]
    checksum = functools.reduce(lambda so_far, piece: binascii.crc32(piece, so_far), body, 0)
    digest = checksum.to_bytes(4, "big")
    return base64.b64encode(digest) if encode_base64 else digest


def _value(key: Any) -> View:
    content: View = key._value_buffer.content()
    return content


def _set_value(key: Any, value: bytes | View | str | ObjectFile) -> None:
    if isinstance(value, ObjectFile):
        key._value_buffer = value
        key.contentsize = len(value.content())
        return
    content = value.encode() if isinstance(value, str) else value
    key._value_buffer.write(content if isinstance(content, View) else (content,))
    key.contentsize = len(content)


def _state(key: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(key).items() if name != "lock"}


def _set_state(key: Any, state: dict[str, Any]) -> None:
    vars(key).update(state, lock=threading.Lock())


def _copy(key: Any, _memo: object) -> Any:
    """For ListObjectVersions, which copies all there are: the file stays the original's."""
    key.etag  # noqa: B018  # known from now on: the copy has no content
    copy = object.__new__(type(key))
    vars(copy).update(vars(key), _value_buffer=io.BytesIO(), multipart=None)
    return copy


def _streamed(respond: Callable[..., Any]) -> Callable[..., Any]:
    """`respond` of an S3Response, with what a View and a large request need."""

    @functools.wraps(respond)
    def answer(response: Any, request: Any, *arguments: Any) -> Any:
        status, headers, body = respond(response, request, *arguments)
        # The request is part of a cycle, which would hold its body until the next collection.
        response.body = response.raw_body = b""
        vars(request).update(data=b"", _cached_data=b"")
        if isinstance(body, View) and OBJECTS.in_use:  # werkzeug doesn't know how long it is
            headers = {**headers, "content-length": str(len(body))}
        elif isinstance(body, View):  # moto's own mock_aws in this process takes bytes only
            body = bytes(body)
        return status, headers, body

    return answer


models.tempfile = types.SimpleNamespace(SpooledTemporaryFile=ObjectFile)
models.FakeKey.value = property(_value, _set_value)
models.FakeKey.__getstate__ = _state
models.FakeKey.__setstate__ = _set_state
models.FakeKey.__del__ = models.FakeKey.dispose  # moto's warns that nobody did before
models.FakeKey.__deepcopy__ = _copy
models.compute_checksum = responses.compute_checksum = _compute_checksum
models.FakeMultipart.complete = _complete
responses.S3Response.key_response = _streamed(responses.S3Response.key_response)
