"""A web application that counts its visits in redis, and stops as one should: it finishes what it has begun."""

import os
import signal
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def log(message):
    print(message, file=sys.stderr, flush=True)


def count(name):
    """One INCR, spoken over a socket of its own: redis' protocol is a few lines of text."""
    host, port = os.environ["REDIS"].split(":")
    with socket.create_connection((host, int(port)), timeout=2) as connection:
        connection.sendall(f"*2\r\n$4\r\nINCR\r\n${len(name)}\r\n{name}\r\n".encode())
        answer = connection.makefile("rb").readline()
    if not answer.startswith(b":"):
        raise OSError(f"redis answered {answer!r}")
    return int(answer[1:])


class Visit(BaseHTTPRequestHandler):
    def do_GET(self):
        try:
            status, text = 200, f"visit {count('visits')}\n"
        except OSError as error:
            status, text = 503, f"no redis: {error}\n"
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        """nginx writes the access log."""


class Server(ThreadingHTTPServer):
    # Threads are joined at the end, so that no request is cut off.
    daemon_threads = False


def main():
    server = Server(("127.0.0.1", int(os.environ["PORT"])), Visit)

    def stop(number, frame):
        log(f"app: {signal.Signals(number).name}, finishing what is on its way")
        # shutdown() waits for the loop that this handler interrupts, so it needs its own thread.
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, stop)
    log("app: serving")
    server.serve_forever()
    server.server_close()
    log("app: stopped gracefully")


main()
