"""A program: runs another Python program apart from this machine, and writes down how far.

    isolation.py HIDDEN SCRATCH WORK REPORT PROGRAM ARGUMENT...

Where the system allows (Linux with namespaces), PROGRAM has no network, not even 127.0.0.1; can
write into WORK, /tmp and /dev/shm only, of which the last two are its own; sees no other process,
nothing of the user's home but its own Python, and no file of HIDDEN; and whatever it starts ends
with it. Elsewhere it runs plainly. HIDDEN has a home and what else keeps credentials, one a line.
REPORT says what was tried out and held, in the very process, before PROGRAM starts:

    {"credentials": true, "network": true, "writes": true, "processes": true}

    isolation.py --install HIDDEN KEPT REPORT FOLDER COMMAND ARGUMENT...

COMMAND installs packages, so it has the network, its caches and its programs, wherever they lie: it
is kept from other processes, and from the places of credentials but what KEPT lists. Of the report
it fills in `credentials` alone.

Run by the model's own Python, whatever its version, so it uses the standard library alone.
"""

# Path costs an import, and what is done here is what the system calls do.
# ruff: noqa: PTH100, PTH103, PTH108, PTH110, PTH111, PTH112, PTH116, PTH118
# ruff: noqa: PTH120, PTH123, PTH208
# ruff: noqa: S108

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import runpy
import signal
import socket
import stat
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x20000, 0x10000000, 0x20000000, 0x40000000
# With a user namespace anybody may; without, root may, unless it is a container's.
WAYS = (
    CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID,
    CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID,
)
PLAINLY = 0

# Below the user's home, what clients keep their credentials in.
CREDENTIAL_PLACES = (
    *(".aws", ".azure", ".boto", ".cargo/credentials.toml", ".config/containers/auth.json"),
    *(".config/gcloud", ".config/gh", ".config/git/credentials", ".config/pip", ".config/uv"),
    *(".databrickscfg", ".docker/config.json", ".git-credentials", ".gnupg", ".kaggle"),
    *(".cache/huggingface/token", ".huggingface", ".kube", ".mlflow", ".netrc", ".npmrc", ".pip"),
    *(".pypirc", ".s3cfg", ".ssh"),
)
# Variables that name files which may hold credentials, and those that name folders of such.
_NAMES_FILE = re.compile(
    r"(AWS|AZURE|BOTO|CLOUDSDK|DATABRICKS|GOOGLE|KUBECONFIG|MLFLOW|NETRC|NPM|PIP|REGISTRY_AUTH|SSH"
    r"|UV_CONFIG)(?!\w*(CA_BUNDLE|SERVER_CERT))\w*"
)
_NAMES_FOLDER = re.compile(r"AZURE_CONFIG_DIR|CLOUDSDK_CONFIG|DOCKER_CONFIG|GNUPGHOME")
# Where orchestrators of containers put theirs.
_OWN = ("/dev/shm", "/tmp")
_SECRET_FOLDERS = ("/run/secrets", "/var/run/secrets")
_SECRET_WORDS = (
    *(b"AWS_SECRET_ACCESS_KEY=", b"AWS_SESSION_TOKEN=", b"AWS_CONTAINER_CREDENTIALS_"),
    b"MLFLOW_TRACKING_",
)

_MS_NOSUID_NODEV, _MS_BIND, _MS_REC, _MS_PRIVATE = 2 | 4, 4096, 16384, 1 << 18
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 1, 36, 38
_SYS_MOUNT_SETATTR = 442  # of every architecture since Linux 5.12
_AT_FDCWD, _AT_RECURSIVE, _MOUNT_ATTR_RDONLY = -100, 0x8000, 1


class _Places(NamedTuple):
    """Folders and files by what becomes of them; `hidden` is the same for both uses."""

    home: str
    hidden: list[str]
    kept: list[str]
    writable: list[str]


def main(arguments: list[str]) -> int:
    """Run the program; its exit code, or 128 and the signal that ended it."""
    installs = arguments[0] == "--install"
    if installs:
        hidden, kept, report, folder, *program = arguments[1:]
        places = _sort(hidden, kept.splitlines(), [])
        work: Callable[[], int] = lambda: _install(program, report, folder, places)  # noqa: E731
    else:
        hidden, scratch, folder, report, *program = arguments
        places = _sort(hidden, [scratch], [folder])
        work = lambda: _run(program, report, scratch, folder, places)  # noqa: E731
    with contextlib.suppress(OSError, AttributeError):
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    signal.signal(signal.SIGTERM, _end)
    with contextlib.suppress(OSError, AttributeError):
        _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)  # nor does it outlive who started it
    apart_from = ~CLONE_NEWNET if installs else ~0
    way = next((way for way in WAYS if _apart(way & apart_from, places, _nothing) == 0), PLAINLY)
    try:
        return _apart(way & apart_from, places, work)
    finally:
        _end_descendants()


def list_hidden(variables: Mapping[str, str]) -> list[str]:
    """Files and folders that the variables name and that may hold credentials."""
    found: list[str] = []
    for name, value in variables.items():
        if _NAMES_FILE.fullmatch(name):
            paths = [os.path.expanduser(each) for each in (value, *value.split(os.pathsep))]
            found += [path for path in paths if os.path.exists(path) and not os.path.isdir(path)]
        elif _NAMES_FOLDER.fullmatch(name) and os.path.isdir(value):
            found.append(value)
    own = os.path.expanduser(f"~{_user_name()}")
    if "HOME" in variables and os.path.realpath(own) != os.path.realpath(variables["HOME"]):
        found += [os.path.join(own, name) for name in CREDENTIAL_PLACES]
    return sorted({os.path.abspath(path) for path in found if "\n" not in path})


def _user_name() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return ""


def _sort(hidden: str, kept: Iterable[str], writable: Iterable[str]) -> _Places:
    home, *others = hidden.splitlines()
    named = [os.path.abspath(path) for path in (*kept, sys.prefix, sys.base_prefix)]
    both = [each for path in named for each in (path, os.path.realpath(path))]
    return _Places(
        home=os.path.realpath(home),
        hidden=[os.path.realpath(path) for path in (*others, *_SECRET_FOLDERS)],
        kept=_outermost(
            path
            for path in both
            if os.path.exists(path) and not any(_is_in(each, path) for each in _OWN)
        ),
        writable=[os.path.realpath(path) for path in writable],
    )


def _nothing() -> int:
    return 0


def _install(command: list[str], report: str, folder: str, places: _Places) -> int:
    import subprocess

    with open(report, "w") as file:
        json.dump({"credentials": not _finds_credentials(places, but=places.kept)}, file)
    os.chdir(folder)
    os.environ["TMPDIR"] = os.path.dirname(report)
    return subprocess.run(command, check=False).returncode


def _run(program: list[str], report: str, scratch: str, work: str, places: _Places) -> int:
    kept_from = {
        "credentials": not _finds_credentials(places),
        "network": not _has_network(),
        "writes": not (_can_write(scratch) or _can_write(places.home)),
        "processes": os.getpid() == 1,
    }
    with open(report, "w") as file:
        json.dump(kept_from, file)
    os.chdir(work)
    sys.argv = program
    try:
        runpy.run_path(program[0], run_name="__main__")
    except SystemExit as err:
        return err.code if isinstance(err.code, int) else int(err.code is not None)
    return 0


def _apart(way: int, places: _Places, work: Callable[[], int]) -> int:
    """The exit code of `work` in a process of its own, set apart in that way."""

    def set_apart() -> int:
        user, group = os.getuid(), os.getgid()
        if way:
            _unshare(way)
        if way & CLONE_NEWUSER:
            _write("/proc/self/setgroups", "deny")
            _write("/proc/self/uid_map", f"{user} {user} 1")
            _write("/proc/self/gid_map", f"{group} {group} 1")
        if way:
            _mount(None, "/", None, _MS_REC | _MS_PRIVATE)
        # An installer needs its caches and programs, wherever they lie: it is kept from less.
        if way & CLONE_NEWNET:
            _lay_out(places)
        elif way:
            _hide(places)
        # A new process namespace begins with the next child.
        return _forked(lambda: _within(way, work))

    return _forked(set_apart)


def _within(way: int, work: Callable[[], int]) -> int:
    if way:
        # Where /proc is partly hidden, as in containers, it stays what it is.
        with contextlib.suppress(OSError):
            _mount("proc", "/proc", "proc", _MS_NOSUID_NODEV)
            _set_read_only("/proc", True)
    with contextlib.suppress(OSError, AttributeError):
        _give_up_capabilities()
    return work()


def _hide(places: _Places) -> None:
    """Nothing can be read where credentials are looked for, but what has to be seen."""
    for place in _list_places(places, but=places.kept):
        if os.path.isdir(place):
            _mount("tmpfs", place, "tmpfs", _MS_NOSUID_NODEV)
        elif os.path.exists(place):
            _mount("/dev/null", place, None, _MS_BIND)


def _lay_out(places: _Places) -> None:
    """Everything read-only but what is writable, /tmp and /dev/shm; the last two new and empty.

    So is the home, where nothing that is kept is all of it.
    """
    needed = {place: os.open(place, os.O_PATH) for place in places.kept}
    covered = [place for place in _OWN if os.path.isdir(place)]
    emptied = [*covered]
    if os.path.isdir(places.home) and places.home not in ("/", *places.kept):
        emptied.insert(0, places.home)
    for place in emptied:
        if os.path.isdir(place):  # one may have been in the other
            _mount("tmpfs", place, "tmpfs", _MS_NOSUID_NODEV)
    for place, opened in needed.items():
        if not os.path.exists(place):
            _bring_back(place, opened)
        os.close(opened)
    for place in places.writable:
        _mount(place, place, None, _MS_BIND)
    _hide(places)
    _set_read_only("/", True)
    for place in (*places.writable, *(each for each in covered if os.path.isdir(each))):
        _set_read_only(place, False)


def _bring_back(place: str, opened: int) -> None:
    source = f"/proc/self/fd/{opened}"
    if os.path.isdir(source):
        os.makedirs(place, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(place), exist_ok=True)
        _write(place, "")
    _mount(source, place, None, _MS_BIND | _MS_REC)


def _is_in(path: str, folder: str) -> bool:
    """Whether it is the folder, or something in it."""
    return f"{path}/".startswith(f"{folder.rstrip('/')}/")


def _outermost(paths: Iterable[str]) -> list[str]:
    """Those that are in no other one."""
    places = sorted(set(paths))
    return [place for place in places if not any(place.startswith(f"{other}/") for other in places)]


def _list_places(places: _Places, but: Iterable[str] = ()) -> list[str]:
    """Where credentials are looked for; not what has to be seen, nor what holds some of that."""
    kept = list(but)
    found = [*(os.path.join(places.home, name) for name in CREDENTIAL_PLACES), *places.hidden]
    return [place for place in found if not any(_is_in(each, place) for each in kept)]


def _finds_credentials(places: _Places, but: Iterable[str] = ()) -> bool:
    """Whether some can be read: in files of the user, or in what other processes started with."""
    if any(_holds_something(place) for place in _list_places(places, but)):
        return True
    if not os.path.isdir("/proc/self"):
        return True  # nobody knows
    for number in (name for name in os.listdir("/proc") if name.isdigit()):
        with contextlib.suppress(OSError), open(f"/proc/{number}/environ", "rb") as file:
            content = file.read()
            if any(word in content for word in _SECRET_WORDS):
                return True
    return False


def _holds_something(place: str) -> bool:
    """Whether it is a file with content that can be read, a socket, or a folder with such."""
    if os.path.isdir(place):
        return any(
            _holds_something(os.path.join(folder, name))
            for folder, _, names in os.walk(place)
            for name in names
        )
    with contextlib.suppress(OSError):
        kind = os.stat(place).st_mode
        if stat.S_ISSOCK(kind):
            return os.access(place, os.W_OK)
        if stat.S_ISREG(kind):
            with open(place, "rb") as file:
                return bool(file.read(1))
    return False


def _has_network() -> bool:
    """Whether an address is reachable at all: without an interface that is up, none is."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for address in ("127.0.0.1", "169.254.169.254"):
            with contextlib.suppress(OSError):
                probe.connect((address, 9))  # nothing is sent
                return True
    return False


def _can_write(folder: str) -> bool:
    path = os.path.join(folder, f".written-{os.getpid()}")
    try:
        with open(path, "x"):
            os.unlink(path)
    except OSError:
        return False
    return True


def _forked(work: Callable[[], int]) -> int:
    child = os.fork()
    if child == 0:
        code = 125
        try:
            with contextlib.suppress(OSError, AttributeError):
                _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            code = work()
        except (OSError, AttributeError) as err:
            if work is not _nothing:
                sys.stderr.write(f"isolation: {err}\n")
        except BaseException:  # noqa: BLE001 - the traceback goes where the program's output goes
            traceback.print_exc()
            code = 1
        finally:
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _end(number: int, _frame: object) -> None:
    _end_descendants()
    os._exit(128 + number)


def _end_descendants() -> None:
    """End what is left below this process, also what has left its session."""
    for _ in range(1000):
        children = _children()
        if not children:
            return
        for child in children:
            with contextlib.suppress(OSError):
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)


def _children() -> list[int]:
    found = []
    with contextlib.suppress(OSError):
        for name in os.listdir("/proc"):
            if name.isdigit():
                with contextlib.suppress(OSError), open(f"/proc/{name}/stat") as file:
                    if file.read().rpartition(")")[2].split()[1] == str(os.getpid()):
                        found.append(int(name))
    return found


def _unshare(flags: int) -> None:
    _check(_libc().unshare(flags), "unshare")


def _mount(source: str | None, target: str, kind: str | None, flags: int) -> None:
    words = [None if text is None else os.fsencode(text) for text in (source, target, kind)]
    _check(_libc().mount(*words, ctypes.c_ulong(flags), None), f"mount {source} on {target}")


def _set_read_only(path: str, read_only: bool) -> None:
    """Of the mount there; what is below it too when it becomes read-only (mount_setattr(2))."""
    wanted = (_MOUNT_ATTR_RDONLY, 0) if read_only else (0, _MOUNT_ATTR_RDONLY)
    attributes = (ctypes.c_uint64 * 4)(*wanted, 0, 0)
    how = _AT_RECURSIVE if read_only else 0
    numbers = (ctypes.c_long(_SYS_MOUNT_SETATTR), ctypes.c_int(_AT_FDCWD))
    size = ctypes.c_size_t(ctypes.sizeof(attributes))
    text = ctypes.c_char_p(os.fsencode(path))
    answer = _libc().syscall(*numbers, text, ctypes.c_uint(how), ctypes.byref(attributes), size)
    _check(answer, f"mount_setattr {path}")


def _give_up_capabilities() -> None:
    """So that nobody undoes what was laid out, nor looks into other processes (capset(2))."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    nothing = (ctypes.c_uint32 * 6)()
    _check(_libc().capset(ctypes.byref(header), ctypes.byref(nothing)), "capset")


def _prctl(option: int, value: int) -> None:
    zeros = (ctypes.c_ulong(0),) * 3
    _check(_libc().prctl(ctypes.c_int(option), ctypes.c_ulong(value), *zeros), "prctl")


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(answer: int, what: str) -> None:
    if answer != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
