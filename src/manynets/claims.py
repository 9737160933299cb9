"""Claims: at most one process at a time writes to a name.

A claim on NAME is a folder `.NAME.lock` beside it, made under another name and renamed: that is atomic on every file system, network
ones included, and fails where there is one. Its file `owner` names the process. The claim of a process that has ended is taken over:
on the same machine that is known from the process table; from elsewhere a claim counts as abandoned once nobody has touched its
folder for `STALE` seconds, by the clock of the file system. While a process holds claims, a thread touches them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import itertools
import json
import os
import secrets
import shutil
import socket
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType

from manynets.errors import ClaimedError

STALE = 180.0  # seconds; attributes on network file systems may be a minute old
BEAT = 15.0
TRIES = 1000  # to make a lock in a folder that other processes remove
OWNER, TAKEOVER = "owner", "takeover"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Owner:
    """A process: its machine, its number, when it started (by the machine's own count), and when it made the claim."""

    machine: str
    host: str
    pid: int
    start: str
    since: str
    token: str


class Claim:
    """A claim that is held until `release`, or to the end of a `with` block."""

    def __init__(self, lock: Path, token: str, made: list[Path]) -> None:
        self.lock, self.token, self.pid, self._made = lock, token, os.getpid(), made
        _beating(self)

    def release(self) -> None:
        """Give the claim up, and remove the folders that were made for it and are empty; a forked child has none to give up."""
        _held.pop(self.lock, None)
        if self.pid != os.getpid():
            return
        owner = _read(self.lock)
        if owner is not None and owner.token == self.token:
            away = Path(f"{self.lock}.{self.token}.tmp")
            with contextlib.suppress(OSError):
                os.rename(self.lock, away)  # so that nobody sees it without its owner
            shutil.rmtree(away, ignore_errors=True)
        for parent in self._made:
            with contextlib.suppress(OSError):
                parent.rmdir()

    def __enter__(self) -> Claim:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()


def claim(target: str | os.PathLike[str], *, inside: bool = False, remedy: str = "choose another") -> Claim:
    """Claim a file or folder, which need not exist; folders above it are made.

    inside: put the lock into the folder `target` rather than beside it. remedy: ends the message of the error.
    Raises ClaimedError, which names the other process, and OSError where nothing can be written.
    """
    path = Path(os.path.realpath(target))
    lock = path / ".lock" if inside else path.with_name(f".{path.name}.lock")
    own, made = this_process(), list[Path]()
    for tries in itertools.count(1):
        try:
            owner = _acquire(lock, own)
            break
        except FileNotFoundError as error:  # also where another process has just removed an empty folder
            if tries == TRIES:  # a file system that makes no files, such as /proc
                raise OSError(error.errno, error.strerror, str(target)) from error
            missing = [parent for parent in lock.parents if not parent.exists()]
            lock.parent.mkdir(parents=True, exist_ok=True)
            made = made or missing
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(target)) from error
    if owner is not None:
        raise ClaimedError(f"{target} is in use by {_named(owner)}; wait until it has ended, or {remedy}")
    return Claim(lock, own.token, made)


def _acquire(lock: Path, own: Owner) -> Owner | None:
    """Make a lock, or take an abandoned one over; return the owner if it is another process at work, else None."""
    while not _make(lock, own):
        owner = _read(lock) or _read(lock)
        if owner is None and not lock.exists():
            continue  # it was released
        if _alive(owner, lock):
            return owner or dataclasses.replace(own, pid=0, since="a while")
        takeover = lock / TAKEOVER  # of several processes that try, one gets this lock within the lock
        if _acquire(takeover, own) is not None:
            time.sleep(0.02)
            continue
        with contextlib.suppress(FileNotFoundError):  # it was not abandoned after all, and is released
            if _read(lock) == owner:
                _write(takeover / OWNER, own)
                os.replace(takeover / OWNER, lock / OWNER)
                shutil.rmtree(takeover, ignore_errors=True)
                return None
            shutil.rmtree(takeover, ignore_errors=True)
    return None


def _make(lock: Path, own: Owner) -> bool:
    """Make a lock that has its owner from the first moment; return False where there is one."""
    beside = Path(f"{lock}.{own.token}.tmp")
    os.mkdir(beside)
    try:
        _write(beside / OWNER, own)
        os.rename(beside, lock)  # replaces an empty folder, but none with an owner
    except OSError as error:
        shutil.rmtree(beside, ignore_errors=True)
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR) or lock.exists():
            return False
        raise
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return True


def _named(owner: Owner) -> str:
    if not owner.pid:
        return "another process"
    which = "this process" if owner.pid == os.getpid() and owner.machine == _machine() else f"process {owner.pid}"
    return f"{which} on {owner.host} since {owner.since}"


def _write(file: Path, owner: Owner) -> None:
    file.write_text(json.dumps(dataclasses.asdict(owner)), encoding="utf-8")


def _read(lock: Path) -> Owner | None:
    """Return the owner of a claim; None where it is not there, or not whole."""
    try:
        return Owner(**json.loads((lock / OWNER).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError):
        return None


# ------------------------------------------------------------------------------------------------------------------- processes


def this_process() -> Owner:
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    pid = os.getpid()
    return Owner(
        machine=_machine(), host=socket.gethostname(), pid=pid, start=_start_of(pid) or "", since=since, token=secrets.token_hex(8)
    )


def _machine() -> str:
    """Return what processes that see each other's ids have in common: host, boot and, in containers, the name space."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def _start_of(pid: int) -> str | None:
    """Return when a process started, or "" if the system does not say; None if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return None if fields[0] in "ZX" else fields[19]
    except (OSError, IndexError):
        if os.path.exists("/proc/self/stat"):
            return None
    if os.name == "posix":
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return None
        except OSError:
            pass
    return ""


def has_ended(owner: Owner) -> bool | None:
    """Return whether a process has ended; None where this machine cannot know."""
    if owner.machine != _machine() or os.name != "posix":
        return None
    return _start_of(owner.pid) != owner.start


def _alive(owner: Owner | None, lock: Path) -> bool:
    """Return whether the owner of a claim may still be at work."""
    ended = None if owner is None else has_ended(owner)
    if ended is not None:
        return not ended
    try:
        return age(lock) < STALE
    except OSError:
        return False


def age(folder: Path) -> float:
    """Return the seconds since a folder was touched, both times by the clock of its file system."""
    with tempfile.TemporaryFile(dir=folder.parent) as file:
        file.write(b".")
        file.flush()
        return os.fstat(file.fileno()).st_mtime - folder.stat().st_mtime


_held: dict[Path, Claim] = {}
_thread: list[threading.Thread] = []


def _beating(one: Claim) -> None:
    """Keep touching the folder of a claim from now on."""
    _held[one.lock] = one
    if not _thread or not _thread[0].is_alive():
        _thread[:] = [threading.Thread(target=_beat, name="manynets-claims", daemon=True)]
        _thread[0].start()


def _beat() -> None:
    while True:
        time.sleep(BEAT)
        touch()


def touch() -> None:
    for lock in list(_held):
        with contextlib.suppress(OSError):
            os.utime(lock)
