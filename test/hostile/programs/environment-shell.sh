# {"status":"success","stdout":"$(id) `id`\n","stderr":"","job":{"env":{"IFS":"x","PS4":"$(exit 9)","K":"$(id) `id`"}}}
echo "$K"
