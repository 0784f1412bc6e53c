# {"status":"memory_limit_exceeded","exit":137,"oom":true}
text=xxxxxxxxxxxxxxxx
while :; do text=$text$text; done
