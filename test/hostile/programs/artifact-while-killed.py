# {"status":"time_limit_exceeded","limit":"wall","artifacts":["out"],"job":{"artifacts":["out"],"limits":{"wall_time_ms":1500}}}
with open("out", "w") as file:
    file.write("kept")
while True:
    pass
