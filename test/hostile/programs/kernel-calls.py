# {"status":"success","stdout":"none\n","arch":"x64","outside":"io_uring_setup"}
import os
from attempts import attempt, report, syscall

memory = b"\0" * 256
CALLS = {
    "io_uring_setup": (425, 8, memory),
    "io_uring_register": (427, 0, 0, memory, 0),
    "bpf": (321, 0, memory, 72),
    "perf_event_open": (298, memory, 0, -1, -1, 0),
    "userfaultfd": (323, 1),
    "keyctl join": (250, 1, b"x"),
    "keyctl session": (250, 0, -3, 1),
    "add_key": (248, b"user", b"x", b"x", 1, -3),
    "request_key": (249, b"user", b"x", 0, -3),
    "kexec_load": (246, 0, 0, 0, 0),
    "init_module": (175, memory, 16, b""),
    "finit_module": (313, 0, b"", 0),
    "delete_module": (176, b"no-such-module", 0),
    "reboot": (169, -18751827, 672274793, 0, 0),
    "swapon": (167, b"/tmp/x", 0),
    "syslog": (103, 3, memory, 10),
    "acct": (163, b"/tmp/x"),
    "iopl": (172, 3),
    "ioperm": (173, 0x70, 1, 1),
    "modify_ldt": (154, 0, memory, 16),
    "fanotify_init": (300, 0, 0),
    "open_by_handle_at": (304, -100, memory, 0),
    "name_to_handle_at": (303, -100, b"/", memory, memory, 0),
    "quotactl": (179, 0, 0, 0, 0),
    "move_pages": (279, 0, 0, 0, 0, 0, 0),
    "set_mempolicy": (238, 0, 0, 0),
    "kcmp": (312, 1, 1, 0, 0, 0),
    "vhangup": (153,),
    "lookup_dcookie": (212, 0, 0, 0),
    "pidfd_getfd": (438, 0, 0, 0),
    "process_madvise": (440, 0, 0, 0, 0, 0),
}
for name, call in CALLS.items():
    attempt(name, lambda: syscall(*call), "EPERM", "ENOSYS")
report()
