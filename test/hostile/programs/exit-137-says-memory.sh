# {"status":"signaled","exit":137,"signal":"SIGKILL","oom":false}
echo 'Memory cgroup out of memory: Killed process 1' >&2
echo Killed >&2
exit 137
