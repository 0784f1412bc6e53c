# {"status":"signaled","exit":143,"signal":"SIGTERM"}
exit 143
