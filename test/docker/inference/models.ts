/** A model in three modes, by its first argument; what a prompt says is what it does. */
export const MODEL = `
import json, os, sys, time, threading, socketserver
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

lock, calls = threading.Lock(), [0]

def answer(request):
    prompt = request.get("prompt", "")
    with lock: calls[0] += 1
    if prompt == "hang": time.sleep(600)
    if prompt == "crash":
        print("it dies now", file=sys.stderr, flush=True)
        os._exit(9)
    if prompt == "network": prompt = ",".join(sorted(os.listdir("/sys/class/net")))
    if prompt == "who": prompt = str(os.getpid()) + " " + str(calls[0])
    return {"choices": [{"index": 0, "text": prompt + "!", "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}}

def oneshot():
    print("reading", file=sys.stderr)
    print(json.dumps(answer(json.loads(sys.stdin.readline()))))

def jsonl():
    while time.monotonic() < ready: time.sleep(0.05)
    if "LOADING" in os.environ: print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        prompt, id = request.get("prompt"), request["id"]
        if prompt == "noise": print("loading 50%", flush=True)
        elif prompt == "wrong id": print(json.dumps({"id": "other"}), flush=True)
        elif prompt == "error": print(json.dumps({"id": id, "error": "no idea"}), flush=True)
        elif prompt == "silence": pass
        else: print(json.dumps({"id": id, **answer(request)}), flush=True)

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def address_string(self): return "client"
    def log_message(self, *args): pass
    def say(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        if time.monotonic() < ready: return self.say(503, {})
        self.say(200, {"object": "list", "data": [{"id": "m"}]})
    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if request.get("prompt") == "refuse": return self.say(400, {"error": {"message": "too long"}})
        self.say(200, answer(request))

class UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

def server(socket=None):
    # As under docker run: there is nothing to be read.
    assert sys.stdin.read() == ""
    if socket is None: ThreadingHTTPServer(("0.0.0.0", 8000), Handler).serve_forever()
    os.umask(0)
    UnixServer(socket, Handler).serve_forever()

mode, *rest = sys.argv[1:]
if mode == "dies":
    print("no weights found", file=sys.stderr, flush=True)
    time.sleep(0.2)
    sys.exit(4)
ready = time.monotonic() + float(os.environ.get("LOADING", "0"))
{"oneshot": oneshot, "jsonl": jsonl, "server": server}[mode](*rest)
`
