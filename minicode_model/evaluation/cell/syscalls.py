"""The Linux calls that Python 3.11 doesn't offer: namespaces, mounts, capabilities and the system call filter.

Sources: man 2 unshare, setns, mount, pivot_root, capset, prctl, seccomp; constants from the kernel's uapi headers.
"""

import ctypes
import errno
import os
import platform
import struct

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
MNT_DETACH = 2

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_CAPBSET_DROP = 1, 4, 24
_PR_SET_SECCOMP, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 22, 36, 38
_SECCOMP_MODE_FILTER = 2
_CAPABILITY_VERSION_3 = 0x20080522
_SYS_CAPSET, _SYS_PIVOT_ROOT = 126, 155  # x86_64

_AUDIT_ARCH_X86_64 = 0xC000003E
_X32_BIT = 0x40000000
_SYS_CLONE, _SYS_CLONE3 = 56, 435
_FIRST_UNKNOWN = 451
"""Calls that came after this list was made answer as on an older kernel; C libraries then do without them."""
_DENIED_X86_64 = (
    *(41, 53),  # socket, socketpair
    *(101, 310, 311, 312, 434, 438),  # ptrace, process_vm_readv and _writev, kcmp, pidfd_open, pidfd_getfd
    *(155, 161, 165, 166, 272, 308),  # pivot_root, chroot, mount, umount2, unshare, setns
    *(428, 429, 430, 431, 432, 433, 442),  # open_tree, move_mount, fsopen, fsconfig, fsmount, fspick, mount_setattr
    *(29, 64, 68, 240),  # shmget, semget, msgget, mq_open: memory that no limit counts
    *(278, 319, 447),  # vmsplice, memfd_create, memfd_secret: the same, page by page
    206,  # io_setup, whose number is shared by the whole machine
    *(253, 294, 300),  # inotify_init, inotify_init1, fanotify_init
    *(303, 304),  # name_to_handle_at, open_by_handle_at
    *(248, 249, 250),  # add_key, request_key, keyctl
    *(298, 321, 323, 425, 426, 427),  # perf_event_open, bpf, userfaultfd, io_uring_setup, _enter, _register
    *(135, 154, 172, 173),  # personality, modify_ldt, iopl, ioperm
    *(103, 163, 167, 168, 169, 175, 176, 179, 246, 313, 320),  # syslog, acct, swap, reboot, modules, quota, kexec
)
"""Calls that a tested program has no use for and that reach other processes, the network or rare kernel code."""

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def unshare(flags: int) -> None:
    """Move this process (its later children, for CLONE_NEWPID) into new namespaces. Raises OSError."""
    _check(_libc.unshare(ctypes.c_int(flags)), f"unshare({flags:#x})")


def setns(descriptor: int, kind: int) -> None:
    """Move this process (its later children, for CLONE_NEWPID) into an existing namespace. Raises OSError."""
    _check(_libc.setns(descriptor, kind), "setns")


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    """Mount a file system. Raises OSError that names the target."""
    arguments = [text.encode() or None for text in (source, target, kind)]
    result = _libc.mount(*arguments, ctypes.c_ulong(flags), options.encode() or None)
    _check(result, f"mount({target}, {kind or 'bind'}, {flags:#x})")


def pivot_here() -> None:
    """Make the current folder (a mount point) the root, and let go of the old root. Raises OSError."""
    _check(_libc.syscall(_SYS_PIVOT_ROOT, b".", b"."), "pivot_root")
    _check(_libc.umount2(b".", MNT_DETACH), "umount2(old root)")
    os.chdir("/")


def set_dumpable(dumpable: bool) -> None:
    """Say whether other processes of this user may look into this one."""
    _check(_libc.prctl(_PR_SET_DUMPABLE, int(dumpable), 0, 0, 0), "prctl(PR_SET_DUMPABLE)")


def die_with_parent(signal_number: int) -> None:
    """Ask for a signal when the parent dies."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0), "prctl(PR_SET_PDEATHSIG)")


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends."""
    _check(_libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl(PR_SET_CHILD_SUBREAPER)")


def give_up_privileges() -> None:
    """No capability is left afterwards, in any set, and no later exec can give one back. Raises OSError."""
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl(PR_SET_NO_NEW_PRIVS)")
    for capability in range(64):
        if _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) < 0:
            break  # EINVAL past the last capability; EPERM without CAP_SETPCAP, where no_new_privs suffices
    header, empty = struct.pack("Ii", _CAPABILITY_VERSION_3, 0), bytes(24)
    _check(_libc.syscall(_SYS_CAPSET, header, empty), "capset")


def filter_available() -> bool:
    """True where the system call filter below is written for this processor."""
    return platform.machine() == "x86_64"


def install_filter() -> None:
    """Deny the listed system calls, and new namespaces, to this process and its children for good. Raises OSError.

    Needs no_new_privs. clone3 answers ENOSYS, since a filter can't see its flags; C libraries then use clone.
    """
    program = _filter_x86_64()
    buffer = ctypes.create_string_buffer(program, len(program))
    prog = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer))
    _check(_libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, prog, 0, 0), "prctl(PR_SET_SECCOMP)")


def _filter_x86_64() -> bytes:
    load, jump_equal, jump_at_least, jump_any_bit, answer = 0x20, 0x15, 0x35, 0x45, 0x06
    kill, allow, deny = 0x80000000, 0x7FFF0000, 0x00050000
    namespaces = 0x7E020000  # every CLONE_NEW* that clone takes

    def step(code: int, if_true: int, if_false: int, value: int) -> bytes:
        return struct.pack("HBBI", code, if_true, if_false, value)

    steps = [
        step(load, 0, 0, 4),  # the architecture
        step(jump_equal, 1, 0, _AUDIT_ARCH_X86_64),
        step(answer, 0, 0, kill),
        step(load, 0, 0, 0),  # the call's number
        step(jump_at_least, 0, 1, _X32_BIT),
        step(answer, 0, 0, deny | errno.EPERM),
        step(jump_at_least, 1, 0, _FIRST_UNKNOWN),
        step(jump_equal, 0, 1, _SYS_CLONE3),
        step(answer, 0, 0, deny | errno.ENOSYS),
    ]
    for number in _DENIED_X86_64:
        steps += [step(jump_equal, 0, 1, number), step(answer, 0, 0, deny | errno.EPERM)]
    steps += [
        step(jump_equal, 0, 3, _SYS_CLONE),
        step(load, 0, 0, 16),  # the low half of the first argument: clone's flags
        step(jump_any_bit, 0, 1, namespaces),
        step(answer, 0, 0, deny | errno.EPERM),
        step(answer, 0, 0, allow),
    ]
    return b"".join(steps)
