# {"status":"runtime_error","exit":125}
exit 125
