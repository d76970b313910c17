"""Give the calling process its own /opt/ml, without a container runtime.

Linux only: a mount namespace of its own, as root directly, else inside a user namespace (which some
systems forbid; `container.detect_isolation` tries). The identity of the process stays what it is.
Runs in the child between fork and exec, with the standard library alone.
"""

# Imported between fork and exec, so it imports little.
# ruff: noqa: PTH102, PTH115, PTH118, PTH123, PTH211

import ctypes
import os

CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18


def enter(staging: str, folder: str, name: str, source: str) -> None:
    """From now on `folder/name` is the folder `source`, for this process and its children only.

    What `folder` holds otherwise stays visible. It need not be writable: it is covered by a memory
    file system, set up at the empty folder `staging`, with all of its entries bound into it. Raises
    OSError where the system forbids that.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.geteuid(), os.getegid()
    if user != 0 or libc.unshare(CLONE_NEWNS) != 0:
        _check(libc.unshare(CLONE_NEWUSER | CLONE_NEWNS), "unshare")
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{user} {user} 1")
        _write("/proc/self/gid_map", f"{group} {group} 1")
    _mount(libc, None, "/", None, MS_REC | MS_PRIVATE)
    _mount(libc, "tmpfs", staging, "tmpfs", 0)
    with os.scandir(folder) as entries:
        others = [entry for entry in entries if entry.name != name]
    for entry in others:
        place = os.path.join(staging, entry.name)
        if entry.is_symlink():
            os.symlink(os.readlink(entry.path), place)
            continue
        if entry.is_dir():
            os.mkdir(place)
        else:
            open(place, "x").close()
        _mount(libc, entry.path, place, None, MS_BIND | MS_REC)
    os.mkdir(os.path.join(staging, name))
    _mount(libc, source, os.path.join(staging, name), None, MS_BIND | MS_REC)
    _mount(libc, staging, folder, None, MS_BIND | MS_REC)


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


def _mount(
    libc: ctypes.CDLL, source: str | None, target: str, kind: str | None, flags: int
) -> None:
    encoded = [None if text is None else text.encode() for text in (source, target, kind)]
    what = f"mount {source} on {target}"
    _check(libc.mount(*encoded, ctypes.c_ulong(flags), None), what)


def _check(answer: int, what: str) -> None:
    if answer != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
