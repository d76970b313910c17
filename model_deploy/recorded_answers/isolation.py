"""A program: runs another Python program apart from this machine, and writes down how far.

    isolation.py HOME SCRATCH WORK REPORT PROGRAM ARGUMENT...

Where the system allows (Linux with namespaces), PROGRAM has no network, not even 127.0.0.1; can
write into WORK, /tmp and /dev/shm only, of which the last two are its own; sees no other process
and not what HOME keeps of credentials; and whatever it starts ends with it. Elsewhere it runs
plainly.
REPORT says what was tried out and held, in the very process, before PROGRAM starts:

    {"credentials": true, "network": true, "writes": true, "processes": true}

Run by the model's own Python, whatever its version, so it uses the standard library alone.
"""

# Path costs an import, and what is done here is what the system calls do.
# ruff: noqa: PTH100, PTH103, PTH108, PTH112, PTH113, PTH118, PTH123, PTH208
# ruff: noqa: S108

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import runpy
import signal
import socket
import sys
import traceback
from collections.abc import Callable

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x20000, 0x10000000, 0x20000000, 0x40000000
# With a user namespace anybody may; without, root may, unless it is a container's.
WAYS = (
    CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID,
    CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID,
)
PLAINLY = 0

# Below the user's home, what clients keep their credentials in.
CREDENTIAL_PLACES = (".aws", ".mlflow", ".config", ".netrc", ".pypirc", ".ssh", ".databrickscfg")
_SECRET_WORDS = (b"AWS_SECRET_ACCESS_KEY=", b"AWS_CONTAINER_CREDENTIALS_", b"MLFLOW_TRACKING_")

_MS_NOSUID_NODEV, _MS_BIND, _MS_REC, _MS_PRIVATE = 2 | 4, 4096, 16384, 1 << 18
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 1, 36, 38
_SYS_MOUNT_SETATTR = 442  # of every architecture since Linux 5.12
_AT_FDCWD, _AT_RECURSIVE, _MOUNT_ATTR_RDONLY = -100, 0x8000, 1


def main(arguments: list[str]) -> int:
    """Run the program; its exit code, or 128 and the signal that ended it."""
    home, scratch, work, report, *program = arguments
    with contextlib.suppress(OSError, AttributeError):
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    signal.signal(signal.SIGTERM, _end)
    with contextlib.suppress(OSError, AttributeError):
        _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)  # nor does it outlive who started it
    places = (os.path.abspath(home), os.path.abspath(scratch), os.path.abspath(work))
    way = next((way for way in WAYS if _apart(way, places, _nothing) == 0), PLAINLY)
    try:
        return _apart(way, places, lambda: _run(program, report, places))
    finally:
        _end_descendants()


def _nothing() -> int:
    return 0


def _run(program: list[str], report: str, places: tuple[str, str, str]) -> int:
    home, scratch, work = places
    kept_from = {
        "credentials": not _finds_credentials(home),
        "network": not _has_network(),
        "writes": not (_can_write(scratch) or _can_write(home)),
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


def _apart(way: int, places: tuple[str, str, str], work: Callable[[], int]) -> int:
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
            _lay_out(*places)
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


def _lay_out(home: str, scratch: str, work: str) -> None:
    """Everything read-only but `work`, /tmp and /dev/shm; the last two are new and empty."""
    _mount(None, "/", None, _MS_REC | _MS_PRIVATE)
    needed = {place: os.open(place, os.O_PATH) for place in _outermost(scratch)}
    covered = [place for place in ("/dev/shm", "/tmp") if os.path.isdir(place)]
    for place in covered:
        _mount("tmpfs", place, "tmpfs", _MS_NOSUID_NODEV)
    for place, opened in needed.items():
        if not os.path.isdir(place):
            os.makedirs(place)
            _mount(f"/proc/self/fd/{opened}", place, None, _MS_BIND | _MS_REC)
        os.close(opened)
    _mount(work, work, None, _MS_BIND)
    for name in CREDENTIAL_PLACES:
        place = os.path.join(home, name)
        if os.path.isdir(place) and not scratch.startswith(place + "/"):
            _mount("tmpfs", place, "tmpfs", _MS_NOSUID_NODEV)
        elif os.path.isfile(place):
            _mount("/dev/null", place, None, _MS_BIND)
    _set_read_only("/", True)
    for place in (work, *covered):
        _set_read_only(place, False)


def _outermost(scratch: str) -> list[str]:
    """What must stay where it is: the program's folder, and its Python with all packages."""
    places = {scratch, *map(os.path.realpath, (sys.prefix, sys.base_prefix))}
    return [
        place
        for place in sorted(places)
        if not any(place.startswith(f"{other}/") for other in places)
    ]


def _finds_credentials(home: str) -> bool:
    """Whether some can be read: in files of the user, or in what other processes started with."""
    if any(os.access(os.path.join(home, ".aws", name), os.R_OK) for name in ("credentials", "sso")):
        return True
    if not os.path.isdir("/proc/self"):
        return True  # nobody knows
    for number in (name for name in os.listdir("/proc") if name.isdigit()):
        with contextlib.suppress(OSError), open(f"/proc/{number}/environ", "rb") as file:
            content = file.read()
            if any(word in content for word in _SECRET_WORDS):
                return True
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
