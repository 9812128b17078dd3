"""Counts its visits in a database, and says whether it lives and whether it can serve."""

import os
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psycopg2

database = psycopg2.connect(os.environ["DATABASE"])
database.autocommit = True
one_at_a_time = threading.Lock()


def ask(statement):
    with one_at_a_time, database.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone()[0]


class Shop(BaseHTTPRequestHandler):
    def do_GET(self):
        try:
            if self.path == "/live":
                status, text = 200, "alive"
            elif self.path == "/ready":
                status, text = 200, f"ready: {ask('SELECT 1')}"
            else:
                status, text = 200, f"visit {ask('INSERT INTO visits DEFAULT VALUES RETURNING id')}"
        except psycopg2.Error as error:
            status, text = 503, f"no database: {error}".strip()
        body = f"{text}\n".encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        """nginx writes the access log."""


def main():
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Shop)
    # shutdown() waits for the loop that this handler interrupts, so it needs its own thread.
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever()
    server.server_close()
    print("app: stopped gracefully", file=sys.stderr, flush=True)


main()
