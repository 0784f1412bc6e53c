/**
 * The system calls that a program within walls may make, by subject. The engine's own profile is an allow-list too, and
 * one that is given takes its place: so this one is complete. It is made for 64-bit programs of x86_64 and arm64 alone;
 * a name that a processor has no call for is passed over. What is left out though the engine allows it is told of in
 * seccomp.ts.
 */
export const ALLOWED_CALLS: Readonly<Record<string, string>> = {
  'starting and ending programs': `
    execve execveat exit exit_group fork vfork wait4 waitid restart_syscall arch_prctl prctl set_tid_address
    set_robust_list get_robust_list rseq seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self`,

  'who and what a process is': `
    getpid getppid gettid getpgid getpgrp getsid setpgid setsid getuid geteuid getgid getegid getresuid getresgid
    getgroups setuid setgid setreuid setregid setresuid setresgid setfsuid setfsgid setgroups capget capset uname sysinfo
    getcpu getrusage times getrlimit setrlimit prlimit64 umask`,

  scheduling: `
    sched_yield sched_getaffinity sched_setaffinity sched_getattr sched_setattr sched_getparam sched_setparam
    sched_getscheduler sched_setscheduler sched_get_priority_max sched_get_priority_min sched_rr_get_interval getpriority
    setpriority ioprio_get ioprio_set`,

  signals: `
    kill tkill tgkill pause rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend
    rt_sigtimedwait rt_tgsigqueueinfo sigaltstack signalfd signalfd4 pidfd_open pidfd_send_signal`,

  memory: `
    brk mmap munmap mprotect mremap madvise mincore msync mlock mlock2 mlockall munlock munlockall membarrier
    remap_file_pages memfd_create memfd_secret pkey_alloc pkey_free pkey_mprotect process_mrelease map_shadow_stack mseal
    cachestat`,

  'locks between threads': `futex futex_waitv futex_wait futex_wake futex_requeue`,

  time: `
    alarm time gettimeofday clock_getres clock_gettime clock_nanosleep nanosleep getitimer setitimer timer_create
    timer_delete timer_getoverrun timer_gettime timer_settime timerfd_create timerfd_gettime timerfd_settime adjtimex
    clock_adjtime`,

  'opening files': `
    open openat openat2 creat close close_range dup dup2 dup3 fcntl flock ioctl pipe pipe2 mknod mknodat`,

  'reading and writing': `
    read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 lseek sendfile splice tee vmsplice
    copy_file_range readahead fadvise64 fallocate ftruncate truncate sync syncfs fsync fdatasync sync_file_range`,

  'folders and names': `
    chdir fchdir getcwd getdents getdents64 mkdir mkdirat rmdir link linkat symlink symlinkat readlink readlinkat rename
    renameat renameat2 unlink unlinkat`,

  'what is known of a file': `
    access faccessat faccessat2 stat fstat lstat newfstatat statx statfs fstatfs chmod fchmod fchmodat fchmodat2 chown
    fchown lchown fchownat utime utimes utimensat futimesat getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr
    setxattr lsetxattr fsetxattr removexattr lremovexattr fremovexattr getxattrat listxattrat setxattrat removexattrat`,

  'waiting for something to happen': `
    poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_wait epoll_wait_old epoll_pwait
    epoll_pwait2 eventfd eventfd2 inotify_init inotify_init1 inotify_add_watch inotify_rm_watch io_setup io_destroy
    io_submit io_cancel io_getevents io_pgetevents`,

  'sockets, once there is one': `
    accept accept4 bind connect listen shutdown getpeername getsockname getsockopt setsockopt recvfrom recvmsg recvmmsg
    sendto sendmsg sendmmsg`,

  'talking among its own processes': `
    mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink msgctl msgget msgrcv msgsnd semctl semget semop
    semtimedop shmat shmctl shmdt shmget`,

  'random numbers': `getrandom`,
}
