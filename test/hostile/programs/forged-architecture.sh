# {"status":"runtime_error","exit":1,"prints":["exec format error"]}
echo 'standard_init_linux.go:228: exec user process caused: exec format error' >&2
exit 1
