# {"status":"file_error","exit":0,"artifacts":[],"skipped":["out"],"job":{"artifacts":["out"]}}
import socket

socket.socket(socket.AF_UNIX).bind("out")
