"""Run one command of a unit confined as the unit says, where there is no systemd to do it.

    python confined.py UNIT ROOT pre|main|stop

The kernel does what it would do under systemd: the unit's users, a read-only host with the unit's
own folders in it, the system call filter, no memory that is written to and executed, processes of
others invisible, a user namespace.  Not done: control groups and what is about devices.

``ROOT`` holds what the host is to have at ``/etc``, ``/srv`` and ``/var``; the running Python
takes the place of ``/opt/meshc``.  Must be started by root.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shlex
import subprocess
import sys
from pathlib import Path

_NEW_MOUNTS, _NEW_USERS = 0x00020000, 0x10000000
_NO_NEW_PRIVILEGES, _MDWE, _REFUSE_EXEC_GAIN = 38, 65, 1
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_KEYS = {"pre": "ExecStartPre", "main": "ExecStart", "stop": "ExecStop"}
_libc = ctypes.CDLL(None, use_errno=True)

Settings = dict[str, list[str]]


def read_unit(path: Path) -> Settings:
    """Return the values of every key of a unit, in their order."""
    found: Settings = {}
    for line in path.read_text().replace("\\\n", " ").splitlines():
        key, sign, value = line.partition("=")
        if sign and not line.startswith(("#", "[")):
            found.setdefault(key, []).append(value)
    return found


def main() -> None:
    """Confine this process and become the command."""
    unit, root, which = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    settings = read_unit(unit)
    user, group = (
        _number(root, "passwd", settings["User"]),
        _number(root, "group", settings["Group"]),
    )
    others = [_number(root, "group", [name]) for name in settings.get("SupplementaryGroups", [])]
    denied = _denied(settings.get("SystemCallFilter", []))
    _checked(_libc.unshare(_NEW_MOUNTS))
    _lay_out_host(root, settings, is_sandboxed=which != "pre")
    [command] = settings[_KEYS[which]]
    _enter_folder(settings)
    if which == "pre":
        # "+": with all privileges and outside of the sandbox.
        parts = shlex.split(command.removeprefix("+"))
        os.execv(parts[0], parts)
    os.umask(int(settings["UMask"][0], 8))
    os.setgroups(others)
    if settings["PrivateUsers"] == ["yes"]:
        _enter_user_namespace(user, group)
    os.setresgid(group, group, group)
    os.setresuid(user, user, user)
    _checked(_libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0))
    if settings["MemoryDenyWriteExecute"] == ["yes"]:
        _checked(_libc.prctl(_MDWE, _REFUSE_EXEC_GAIN, 0, 0, 0))
    parts = shlex.split(command.removeprefix("-"))
    _filter_system_calls(denied)
    os.execv(parts[0], parts)


def _number(root: Path, table: str, names: list[str]) -> int:
    for line in (root / "etc" / table).read_text().splitlines():
        name, _, number, *_ = line.split(":")
        if [name] == names:
            return int(number)
    raise SystemExit(f"{names} is not in {table}")


def _checked(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _mount(*arguments: object) -> None:
    subprocess.run(["mount", *map(str, arguments)], check=True)


def _lay_out_host(root: Path, settings: Settings, *, is_sandboxed: bool) -> None:
    """Show the command a host on which meshc is installed; mounts end with the process."""
    _mount("--make-rprivate", "/")
    kept = {place: os.open(place, os.O_PATH) for place in _python_places()}
    _mount("-t", "overlay", "overlay", "-o", f"ro,lowerdir={root}/etc:/etc", "/etc")
    for hidden in ("/opt", "/srv", "/var/lib", "/var/log", "/root", "/home", "/tmp"):
        mode = "1777" if hidden == "/tmp" else "755"
        _mount("-t", "tmpfs", "-o", f"mode={mode}", "none", hidden)
    for place, descriptor in kept.items():
        if not place.exists():
            _bind(f"/proc/{os.getpid()}/fd/{descriptor}", place)
    _bind(f"/proc/{os.getpid()}/fd/{kept[Path(sys.prefix)]}", Path("/opt/meshc"))
    _bind(root / "srv", Path("/srv"))
    _bind(root / "var/lib/meshc", Path("/var/lib/meshc"))
    _bind(root / "var/log/envoy", Path("/var/log/envoy"))
    runtime = [f"/run/{name}" for name in settings.get("RuntimeDirectory", [])]
    for folder in runtime:
        _mount("-t", "tmpfs", "none", "/run")
        _bind(f"{root}{folder}", Path(folder))
    if not is_sandboxed:
        return
    writable = [f"/var/lib/{name}" for name in settings.get("StateDirectory", [])]
    writable += runtime
    writable += [f"/var/log/{name}" for name in settings.get("LogsDirectory", [])]
    options = "hidepid=invisible" if settings["ProtectProc"] == ["invisible"] else "defaults"
    if settings.get("ProcSubset") == ["pid"]:
        options += ",subset=pid"
    for line in Path("/proc/mounts").read_text().splitlines():
        mounted = line.split()[1].replace(r"\040", " ")
        if mounted not in {*writable, "/tmp"} and not mounted.startswith(("/dev", "/proc", "/sys")):
            _mount("-o", "remount,bind,ro", mounted)
    _mount("-t", "proc", "-o", options, "proc", "/proc")


def _python_places() -> list[Path]:
    """Folders without which this Python cannot run meshc; they may lie in somebody's home."""
    repository = Path(__file__).parents[2]
    return [repository, Path(sys.prefix), Path(sys.base_prefix)]


def _bind(source: object, place: Path) -> None:
    place.mkdir(parents=True, exist_ok=True)
    _mount("--no-canonicalize", "--bind", source, place)


def _enter_folder(settings: Settings) -> None:
    for text in settings.get("WorkingDirectory", ["/"]):
        folder = text.removeprefix("-")
        if Path(folder).is_dir() or folder == text:
            os.chdir(folder)


def _enter_user_namespace(user: int, group: int) -> None:
    """Map root and the unit's user; everybody else is nobody."""
    process = os.getpid()
    is_inside, tell = os.pipe()
    helper = os.fork()
    if not helper:
        os.close(tell)
        os.read(is_inside, 1)
        for table, number in (("uid_map", user), ("gid_map", group)):
            Path(f"/proc/{process}/{table}").write_text(f"0 0 1\n{number} {number} 1\n")
        os._exit(0)
    os.close(is_inside)
    _checked(_libc.unshare(_NEW_USERS))
    os.close(tell)
    _, status = os.waitpid(helper, 0)
    if status:
        raise SystemExit("no user namespace")


def _denied(filters: list[str]) -> set[str]:
    """Return the calls that a filter forbids, of all that systemd knows."""
    known = _calls("@known")
    allowed: set[str] = set()
    for line in filters:
        names = line.removeprefix("~").split()
        meant = set[str]().union(*(_calls(name) for name in names))
        allowed = allowed - meant if line.startswith("~") else allowed | meant
    return known - allowed - _calls("@default") if filters else set()


def _calls(name: str) -> set[str]:
    if not name.startswith("@"):
        return {name}
    said = subprocess.run(
        ["systemd-analyze", "syscall-filter", name], check=True, capture_output=True, text=True
    ).stdout.splitlines()[1:]
    return set[str]().union(
        *(_calls(one.strip()) for one in said if one.strip() and not one.strip().startswith("#"))
    )


def _filter_system_calls(denied: set[str]) -> None:
    seccomp = ctypes.CDLL("libseccomp.so.2")
    seccomp.seccomp_init.restype = ctypes.c_void_p
    rules = ctypes.c_void_p(seccomp.seccomp_init(_ALLOW))
    for name in sorted(denied):
        number = seccomp.seccomp_syscall_resolve_name(name.encode())
        if number >= 0:  # others are not of this architecture
            code = seccomp.seccomp_rule_add(rules, _ERRNO | errno.EPERM, number, 0)
            if code:
                raise SystemExit(f"no filter for {name}: {code}")
    if seccomp.seccomp_load(rules):
        raise SystemExit("the filter was not taken")


if __name__ == "__main__":
    main()
