"""Serves the model: `main.py oneshot | jsonl | server`. Without a word it is jsonl when standard input can bring
something, or else server."""

import argparse
import http.server
import json
import os
import pathlib
import signal
import socketserver
import sys
import time

import model

NAME = "tiny-python"
MAX_BODY = 4 << 20
HERE = pathlib.Path(__file__).resolve().parent
# The image's label says so to the runner, which mounts the folder and then needs no network.
SOCKET = pathlib.Path("/run/model/model.sock")
STARTED = int(time.time())


class Refused(Exception):
    def __init__(self, message, status=400, kind="invalid_request_error"):
        super().__init__(message)
        self.status, self.kind = status, kind


def error_body(error):
    return {"error": {"message": str(error), "type": error.kind, "param": None, "code": None}}


def read_json(text):
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Refused(f"The request is not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise Refused("The request must be a JSON object")
    return value


def number(request, key, default, low, high, whole=False):
    value = request.get(key)
    if value is None:
        return default
    kinds = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
        raise Refused(f"{key} must be {'a whole' if whole else 'a'} number from {low} to {high}")
    return value


def prompt_of(request, is_chat):
    if not is_chat:
        if not isinstance(request.get("prompt"), str):
            raise Refused("prompt must be a text")
        return request["prompt"]
    messages = request.get("messages")
    if not isinstance(messages, list) or not messages:
        raise Refused("messages must be a list of at least one message")
    if not all(isinstance(each, dict) and isinstance(each.get("content"), str) for each in messages):
        raise Refused("each of messages must be an object with content, a text")
    return messages[-1]["content"]


def answer(learned, request, is_chat):
    if request.get("stream"):
        raise Refused("stream is not supported: ask without it")
    prompt = prompt_of(request, is_chat)
    stop = request.get("stop") or []
    stop = [stop] if isinstance(stop, str) else stop
    if not isinstance(stop, list) or not all(isinstance(end, str) and end for end in stop):
        raise Refused("stop must be a text, or a list of texts")
    seed = number(request, "seed", None, -(2**63), 2**63 - 1, whole=True)
    settings = {
        "max_tokens": number(request, "max_tokens", 128, 1, 2048, whole=True),
        "temperature": number(request, "temperature", 0, 0, 2),
        "top_p": number(request, "top_p", 1, 0, 1),
        "stop": stop,
    }
    choices, made = [], 0
    for index in range(number(request, "n", 1, 1, 16, whole=True)):
        own_seed = None if seed is None else seed + index
        text, reason, prompt_tokens, tokens = learned.complete(prompt, **settings, seed=own_seed)
        said = {"message": {"role": "assistant", "content": text}} if is_chat else {"text": text}
        choices.append({"index": index, **said, "finish_reason": reason, "logprobs": None})
        made += tokens
    return {
        "id": f"{'chatcmpl' if is_chat else 'cmpl'}-{os.urandom(8).hex()}",
        "object": "chat.completion" if is_chat else "text_completion",
        "created": int(time.time()),
        "model": NAME,
        "choices": choices,
        "usage": {"prompt_tokens": prompt_tokens, "completion_tokens": made, "total_tokens": prompt_tokens + made},
    }


def answer_line(learned, text):
    """The answer to a line of standard input; an `id` comes back."""
    mark = {}
    try:
        request = read_json(text)
        mark = {"id": request["id"]} if "id" in request else {}
        if "prompt" in request and "messages" in request:
            raise Refused("There must be one of prompt and messages, not both")
        return {**answer(learned, request, "messages" in request), **mark}
    except Refused as error:
        return {**error_body(error), **mark}


def say(value):
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def log(text):
    print(text, file=sys.stderr, flush=True)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Otherwise an answer waits for the acknowledgement of its own head.
    disable_nagle_algorithm = True
    wbufsize = -1

    def setup(self):
        self.disable_nagle_algorithm = not isinstance(self.server, UnixServer)
        super().setup()

    def address_string(self):
        return "socket" if isinstance(self.server, UnixServer) else super().address_string()

    def log_message(self, format, *args):
        log(f"{self.command or '-'} {self.path if self.command else '-'}: {args[1] if len(args) > 1 else args[0]}")

    def do_GET(self):
        if self.path == "/health":
            self.send(200, {"status": "ok"})
        elif self.path == "/v1/models":
            entry = {"id": NAME, "object": "model", "created": STARTED, "owned_by": "opthub-runner"}
            self.send(200, {"object": "list", "data": [entry]})
        else:
            self.refuse(Refused(f"There is no {self.path}", 404))

    def do_POST(self):
        try:
            request = read_json(self.body())
            if self.path not in ("/v1/completions", "/v1/chat/completions"):
                raise Refused(f"There is no {self.path}", 404)
            if request.get("model") not in (None, NAME):
                raise Refused(f"There is no model {request['model']}, but {NAME}", 404)
            self.send(200, answer(self.server.learned, request, self.path == "/v1/chat/completions"))
        except Refused as error:
            self.refuse(error)

    def body(self):
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > MAX_BODY:
            self.close_connection = True
            raise Refused(f"The body needs a Content-Length of at most {MAX_BODY}", 413 if length.isdecimal() else 411)
        return self.rfile.read(int(length))

    def refuse(self, error):
        self.send(error.status, error_body(error))

    def send(self, status, value):
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()


class TcpServer(http.server.ThreadingHTTPServer):
    request_queue_size = 128


class UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 128


def serve(learned, port, socket):
    if socket is None:
        server = TcpServer(("", port), Handler)
        place = f"port {server.server_address[1]}"
    else:
        pathlib.Path(socket).unlink(missing_ok=True)
        server = UnixServer(str(socket), Handler)
        os.chmod(socket, 0o666)
        place = socket
    server.learned = learned
    log(f"serves {NAME} on {place}")
    server.serve_forever()


def mode_by_input():
    """Nothing can be said to a container that was started without an input: it serves."""
    return "server" if os.path.samestat(os.fstat(0), os.stat(os.devnull)) else "jsonl"


def main():
    # Nothing is in hand that could be lost, and threads must not hold up the end.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    parser = argparse.ArgumentParser()
    parser.add_argument("mode", nargs="?", choices=["oneshot", "jsonl", "server"])
    parser.add_argument("--port", type=int, help="default: 8000, unless there is a folder for the socket")
    parser.add_argument("--socket", help=f"a unix socket in place of the port, such as {SOCKET}")
    parser.add_argument("--model", default=str(HERE / "model.json.gz"))
    options = parser.parse_args()
    mode = options.mode or os.environ.get("MODE") or mode_by_input()
    learned = model.load(options.model)
    if mode == "server":
        has_folder = options.port is None and SOCKET.parent.is_dir()
        serve(learned, options.port or 8000, options.socket or (SOCKET if has_folder else None))
    elif mode == "jsonl":
        for line in sys.stdin.buffer:
            if line.strip():
                say(answer_line(learned, line))
    else:
        say(answer_line(learned, sys.stdin.buffer.read()))


if __name__ == "__main__":
    main()
