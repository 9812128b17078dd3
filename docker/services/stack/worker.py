"""Takes visits that nobody has looked at yet, one at a time, and tells musterd how it does."""

import os
import signal
import socket
import sys
import time

import psycopg2

NAME = f"worker {os.environ['MUSTER_INSTANCE']}"


def notify(message):
    """sd_notify(3), whole."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        address = "\0" + address[1:] if address.startswith("@") else address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifications:
            notifications.sendto(message.encode(), address)


def stop(number, frame):
    notify("STOPPING=1")
    sys.exit(0)


def main():
    signal.signal(signal.SIGTERM, stop)
    database = psycopg2.connect(os.environ["DATABASE"])
    database.autocommit = True
    done = 0
    notify("READY=1\nSTATUS=waiting for visits")
    while True:
        with database.cursor() as cursor:
            cursor.execute(
                "UPDATE visits SET worker = %s WHERE id ="
                " (SELECT id FROM visits WHERE worker IS NULL ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)",
                [NAME],
            )
            taken = cursor.rowcount
        done += taken
        notify(f"WATCHDOG=1\nSTATUS=looked at {done} visits")
        if not taken:
            time.sleep(0.2)


try:
    main()
except psycopg2.Error as error:
    # The database is gone; exit and let the next run wait for it.
    sys.exit(f"{NAME}: {error}".strip())
