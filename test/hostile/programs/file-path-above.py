# {"status":"rejected","error":"path must be a relative path","job":{"files":[{"path":"../x","content":""}]}}
print("never")
