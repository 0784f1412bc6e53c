# {"status":"runtime_error","exit":126}
echo 'OCI runtime create failed: exec: "python3": permission denied' >&2
exit 126
