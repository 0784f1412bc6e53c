# {"status":"rejected","error":"two files go to","job":{"files":[{"path":"main.py","content":""}]}}
print("never")
