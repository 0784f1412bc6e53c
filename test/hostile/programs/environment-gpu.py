# {"status":"rejected","error":"NVIDIA_VISIBLE_DEVICES","job":{"env":{"NVIDIA_VISIBLE_DEVICES":"all"}}}
print("never")
