# {"status":"success","stdout":"none\n","arch":"x64"}
import os, struct
from attempts import attempt, report, syscall, write_to

attempt("nice", lambda: os.setpriority(os.PRIO_PROCESS, 0, -5), "EACCES", "EPERM")
for name, policy in (("fifo", os.SCHED_FIFO), ("round robin", os.SCHED_RR)):
    attempt(name, lambda: os.sched_setscheduler(0, policy, os.sched_param(50)), "EPERM")
deadline = struct.pack("IIQiIQQQ", 48, 6, 0, 0, 0, 10**7, 2 * 10**7, 3 * 10**7)
attempt("deadline", lambda: syscall(314, 0, deadline, 0), "EPERM")
attempt("ioprio", lambda: syscall(251, 1, 0, 1 << 13), "EPERM")
attempt("of others", lambda: os.setpriority(os.PRIO_USER, 65534, -1), "EACCES", "EPERM")
score = int(open("/proc/self/oom_score_adj").read())
attempt("oom score", lambda: write_to("/proc/self/oom_score_adj", str(score - 1).encode()), "EACCES", "EPERM")
report()
