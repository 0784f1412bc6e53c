# {"status":"rejected","error":"no name of a variable","job":{"env":{"A=B":"x"}}}
print("never")
