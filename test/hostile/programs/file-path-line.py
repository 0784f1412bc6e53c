# {"status":"rejected","error":"path must be a relative path","job":{"files":[{"path":"x\ny","content":""}]}}
print("never")
