# {"status":"rejected","error":"artifacts must be a relative path","job":{"artifacts":["../../etc/passwd"]}}
print("never")
