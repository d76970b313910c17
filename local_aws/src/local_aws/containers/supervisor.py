"""The program between local_aws and a command: starts it, watches it, leaves nothing behind.

Run as `python -I -S supervisor.py` by `local_aws.containers.supervision`, never imported by it, so
it needs the standard library only and imports little (it starts in about 30 ms). Standard input is
the control pipe:

    one JSON line      what to run: {"argv", "environment", "cwd", "log_path", "limit_seconds",
                       "grace_seconds", "mounts", "umask"}
    "stop SECONDS\\n"   send SIGTERM to the command's group, SIGKILL to all of it after SECONDS
    end of file        the parent is gone, however it went: end everything

Standard output is the status pipe: `started PID` or `refused REASON`, then `ended CODE CAUSE` with
CAUSE one of exit, limit, stop, parent. CODE is the exit code, or 128 + the signal's number as a
shell or a container runtime reports it.

On Linux the supervisor is a child subreaper: a grandchild that daemonised itself is handed to it,
found and killed. Elsewhere what is still below the command when it is ended is killed; a daemon
that detached earlier is not found.
"""

# pathlib would cost a third of the start.
# ruff: noqa: PTH100, PTH120, PTH123, PTH208

import ctypes
import errno
import json
import os
import select
import signal
import sys
import time
from typing import Any, NoReturn

PR_SET_CHILD_SUBREAPER = 36
PARENT_GONE_GRACE_SECONDS = 2.0
ON_LINUX = sys.platform.startswith("linux")

ended: dict[int, int] = {}  # exit codes of the children collected so far


def main() -> int:
    control, status = _private_pipes()
    request = json.loads(_read_line(control))
    wakeup = _wake_on_signals()
    if ON_LINUX:
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        pid = _start(request)
    except OSError as err:
        _report(status, f"refused {err}")
        return 1
    _report(status, f"started {pid}")
    cause, grace_seconds = _watch(pid, control, wakeup, request)
    code = _end(pid, control, wakeup, grace_seconds)
    _report(status, f"ended {code} {cause}")
    return 0


def _private_pipes() -> tuple[int, int]:
    """Move both pipes off the standard descriptors, which then lead nowhere."""
    control, status = os.dup(0), os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    return control, status


def _read_line(descriptor: int) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        piece = os.read(descriptor, 65536)
        if not piece:
            sys.exit(1)
        line += piece
    return line


def _wake_on_signals() -> int:
    """A descriptor that is readable when a child ended or the supervisor itself is to end."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    os.set_blocking(reader, False)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    return reader


def _start(request: dict[str, Any]) -> int:
    """Start the command in a session of its own; OSError when it cannot be executed."""
    error_reader, error_writer = os.pipe()
    log = os.open(request["log_path"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    pid = os.fork()
    if pid == 0:
        _become_command(request, log, error_writer)
    os.close(error_writer)
    os.close(log)
    refusal = b"".join(iter(lambda: os.read(error_reader, 4096), b""))
    os.close(error_reader)
    if refusal:
        os.waitpid(pid, 0)
        raise OSError(refusal.decode())
    return pid


def _become_command(request: dict[str, Any], log: int, error_writer: int) -> NoReturn:
    try:
        signal.set_wakeup_fd(-1)
        for number in (
            signal.SIGCHLD,
            signal.SIGTERM,
            signal.SIGINT,
            signal.SIGHUP,
            signal.SIGPIPE,
        ):
            signal.signal(number, signal.SIG_DFL)
        os.setsid()
        os.umask(request["umask"])
        os.dup2(log, 1)
        os.dup2(log, 2)
        if request["mounts"]:
            _mount(request["mounts"])
        os.chdir(request["cwd"])
        os.execvpe(request["argv"][0], request["argv"], request["environment"])  # noqa: S606
    except BaseException as err:  # noqa: BLE001  # the parent is told; nothing may return from here
        os.write(error_writer, f"{request['argv'][0]}: {err}".replace("\n", " ").encode())
    os._exit(127)


def _mount(mounts: dict[str, Any]) -> None:
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import mount_namespace  # type: ignore[import-not-found]  # -I keeps this folder off the path

    mount_namespace.enter(**mounts)


def _watch(pid: int, control: int, wakeup: int, request: dict[str, Any]) -> tuple[str, float]:
    """Wait until the command ended or has to end: why, and the seconds it has to do so itself."""
    limit_seconds = request["limit_seconds"]
    deadline = None if limit_seconds is None else time.monotonic() + limit_seconds
    while True:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        ready, _, _ = select.select([control, wakeup], [], [], left)
        if wakeup in ready and any(n != signal.SIGCHLD for n in os.read(wakeup, 4096)):
            return "stop", request["grace_seconds"]
        if pid in _collect():
            return "exit", 0.0
        if control in ready:
            words = os.read(control, 4096).split()
            return ("stop", float(words[1])) if words else ("parent", PARENT_GONE_GRACE_SECONDS)
        if left is not None and left <= 0:
            return "limit", request["grace_seconds"]


def _collect() -> dict[int, int]:
    """Exit codes of all children that ended so far: the command, and orphans handed to us."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        code = os.waitstatus_to_exitcode(status)
        ended[pid] = 128 - code if code < 0 else code


def _end(pid: int, control: int, wakeup: int, grace_seconds: float) -> int:
    """End the command (SIGTERM, the grace period, SIGKILL) and all below it; its exit code.

    The grace period is for the whole group: a shell that dies at once must not take the time to
    clean up from the program that it runs.
    """
    if pid not in _collect():
        _signal_group(pid, signal.SIGTERM)
    deadline = time.monotonic() + grace_seconds
    listening = [control, wakeup]
    while (pid not in _collect() or _group_lives(pid)) and (
        left := deadline - time.monotonic()
    ) > 0:
        ready, _, _ = select.select(listening, [], [], min(left, 0.1) if pid in ended else left)
        _drain(wakeup)
        if (
            control in ready
        ):  # asked again, or the parent is gone meanwhile: the shorter grace counts
            words = os.read(control, 4096).split()
            seconds = float(words[1]) if words else PARENT_GONE_GRACE_SECONDS
            deadline = min(deadline, time.monotonic() + seconds)
            if not words:
                listening = [wakeup]
    _signal_group(pid, signal.SIGKILL)
    while victims := _below(os.getpid()):
        for victim in victims:
            _kill(victim)
        select.select([wakeup], [], [], 0.05)
        _drain(wakeup)
        _collect()
    while pid not in _collect():
        select.select([wakeup], [], [], 0.05)
        _drain(wakeup)
    return ended[pid]


def _drain(wakeup: int) -> None:
    try:
        os.read(wakeup, 4096)
    except BlockingIOError:
        return


def _group_lives(pid: int) -> bool:
    try:
        os.killpg(pid, 0)
    except (ProcessLookupError, PermissionError):  # macOS says EPERM for a group of zombies
        return False
    return True


def _signal_group(pid: int, number: int) -> None:
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):  # macOS says EPERM for a group of zombies
        return


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except OSError as err:
        if err.errno != errno.ESRCH:
            raise


def _below(root: int) -> list[int]:
    """Every live process below `root`."""
    parents = _parents_from_proc() if ON_LINUX else _parents_from_ps()
    found: list[int] = []
    wanted = {root}
    while wanted:
        wanted = {pid for pid, parent in parents.items() if parent in wanted}
        found.extend(wanted)
    return found


def _parents_from_proc() -> dict[int, int]:
    parents = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as stat:
                state, parent = stat.read().rpartition(b")")[2].split()[:2]
        except OSError:
            continue
        if state != b"Z":
            parents[int(name)] = int(parent)
    return parents


def _parents_from_ps() -> dict[int, int]:
    with os.popen("ps -axo pid=,ppid=") as listing:  # noqa: S605
        rows = [line.split() for line in listing]
    return {int(pid): int(parent) for pid, parent in rows}


def _report(status: int, line: str) -> None:
    try:
        os.write(status, line.replace("\n", " ").encode() + b"\n")
    except OSError:
        return  # the parent is gone: nobody to tell


if __name__ == "__main__":
    sys.exit(main())
