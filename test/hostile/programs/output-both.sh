# {"status":"output_limit_exceeded","keptBytes":65536}
yes out &
yes err >&2
