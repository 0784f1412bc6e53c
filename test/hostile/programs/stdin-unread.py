# {"status":"success","stdout":"done\n","job":{"stdin":"$LARGE"}}
print("done")
