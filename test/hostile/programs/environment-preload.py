# {"status":"rejected","error":"LD_PRELOAD","job":{"env":{"LD_PRELOAD":"/work/x.so"}}}
print("never")
