"""A closed world for a process: namespaces of its own, a root with nothing but Python in it, no privileges."""

import os
import resource
import sys
from collections.abc import Mapping
from pathlib import Path

from minicode_model.evaluation.cell import syscalls

NOBODY = 65534
"""The user and group that tested programs run as where the sandbox is started by root."""
SCRATCH = "/tmp"  # noqa: S108 - a folder inside the closed world
_SCAFFOLD = "/sys"
"""Where the new root is put together: a folder that every system has and that Python never lives in."""
_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache")
_PACKAGES = ("site-packages", "dist-packages")


def enter_namespaces() -> int:
    """Move into new user, mount, network, IPC, UTS and cgroup namespaces, with a read-only root of Python alone.

    The caller's later children are in a new PID namespace too. No process, file, socket or host name of the outside
    can be named afterwards; there is no /proc and no device.

    Returns:
        A descriptor of the outer /proc, to be closed by the caller before anything untrusted runs.

    Raises:
        OSError: The kernel, or the container around, refuses one of the steps.
    """
    proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY)
    as_root = os.geteuid() == 0
    if as_root:  # root's own rights find Python in closed folders; then they are given up for good
        syscalls.unshare(syscalls.CLONE_NEWNS)
        _enter_new_root()
        drop_to_nobody()
        syscalls.set_dumpable(True)  # else the kernel keeps /proc/self from this user
    user, group = os.geteuid(), os.getegid()
    syscalls.unshare(
        syscalls.CLONE_NEWUSER
        | syscalls.CLONE_NEWNS
        | syscalls.CLONE_NEWPID
        | syscalls.CLONE_NEWNET
        | syscalls.CLONE_NEWIPC
        | syscalls.CLONE_NEWUTS
        | syscalls.CLONE_NEWCGROUP
    )
    for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        _write(proc, f"self/{name}", text)
    if not as_root:
        _enter_new_root()
    return proc


def drop_to_nobody() -> None:
    """Give up root's identity for good: no group, user and group NOBODY. Raises OSError."""
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)


def enter_scratch(max_bytes: int) -> None:
    """Give this process an empty folder of its own, in memory and of bounded size, as working directory.

    Raises:
        OSError: Not inside enter_namespaces.
    """
    syscalls.unshare(syscalls.CLONE_NEWNS | syscalls.CLONE_NEWIPC)
    flags = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC
    syscalls.mount("tmpfs", SCRATCH, "tmpfs", flags, f"size={max_bytes},nr_inodes=4096,mode=700")
    os.chdir(SCRATCH)


def set_limits(limits: Mapping[str, int]) -> None:
    """Set soft and hard resource limits by name, e.g. `{"RLIMIT_CPU": 5}`, never above the present hard limit.

    Processor time has a second between the two: at the soft limit the kernel says why it ends a program (SIGXCPU), at
    the hard one it ends also a program that does not listen (SIGKILL).
    """
    for name, value in limits.items():
        kind = getattr(resource, name)
        highest = resource.getrlimit(kind)[1]
        hard = value + 1 if name == "RLIMIT_CPU" else value
        if highest != resource.RLIM_INFINITY:
            value, hard = min(value, highest), min(hard, highest)
        resource.setrlimit(kind, (value, hard))


def lock_down(*, system_call_filter: bool) -> None:
    """Last step before untrusted code: own session, no privileges, and the system call filter. Raises OSError."""
    os.setsid()
    syscalls.give_up_privileges()
    if system_call_filter:
        syscalls.install_filter()


def _write(folder: int, path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY, dir_fd=folder)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def _enter_new_root() -> None:
    syscalls.mount("", "/", "", syscalls.MS_REC | syscalls.MS_PRIVATE)
    guard = syscalls.MS_NOSUID | syscalls.MS_NODEV
    syscalls.mount("tmpfs", _SCAFFOLD, "tmpfs", guard, "size=1m,nr_inodes=1k,mode=755")
    for path in (Path(sys.executable).resolve(), Path(sys.base_prefix, "lib"), *map(Path, _LIBRARIES)):
        _bind_read_only(path)
    for path in _installed_packages():
        syscalls.mount("tmpfs", _SCAFFOLD + str(path), "tmpfs", guard | syscalls.MS_RDONLY, "size=4k,mode=555")
    Path(_SCAFFOLD + SCRATCH).mkdir(exist_ok=True)
    os.chdir(_SCAFFOLD)
    syscalls.pivot_here()
    syscalls.mount("", "/", "", syscalls.MS_REMOUNT | syscalls.MS_BIND | syscalls.MS_RDONLY | guard)


def _installed_packages() -> list[Path]:
    """Folders of the new root with packages in them, benchmarks' own answers perhaps: shown empty."""
    roots = (Path(sys.base_prefix, "lib"), *map(Path, _LIBRARIES))
    shown = (
        folder for root in roots if root.is_dir() for name in _PACKAGES for folder in root.glob(f"python3*/{name}")
    )
    return sorted({folder.resolve() for folder in shown if Path(_SCAFFOLD + str(folder.resolve())).is_dir()})


def _bind_read_only(path: Path) -> None:
    """Show a folder, file or symbolic link of the outside in the new root; nothing where it doesn't exist."""
    target = Path(_SCAFFOLD + str(path))
    if not path.exists() or target.is_symlink() or target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink():
        target.symlink_to(path.readlink())
        return
    if path.is_dir():
        target.mkdir()
    else:
        target.touch()
    syscalls.mount(str(path), str(target), "", syscalls.MS_BIND)
    kept = _mount_flags(os.statvfs(target).f_flag)  # flags that a less privileged mount can't give up
    flags = syscalls.MS_REMOUNT | syscalls.MS_BIND | syscalls.MS_RDONLY | syscalls.MS_NOSUID | syscalls.MS_NODEV
    syscalls.mount("", str(target), "", flags | kept)


def _mount_flags(statvfs_flags: int) -> int:
    """Mount flags for statvfs flags: equal up to noexec, then atime bits (ST_NOATIME 1024, NODIRATIME 2048...)."""
    same = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC
    relatime = (1 << 21) if statvfs_flags & 4096 else 0
    return (statvfs_flags & same) | (statvfs_flags & (1024 | 2048)) | relatime
