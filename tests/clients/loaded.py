"""The original's supervisorctl, loaded once: each request runs it in a fork, which takes a tenth of the time of a new process.

Ends with its standard input.
"""
import json
import os
import select
import signal
import socket
import sys
import traceback

from supervisor import supervisorctl


def run(request):
    os.chdir(request["directory"])
    created = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    for number, (name, flags) in enumerate([("in", os.O_RDONLY), ("out", created), ("err", created)]):
        file = os.open(request[name], flags, 0o600)
        os.dup2(file, number)
        os.close(file)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    sys.argv = request["words"]
    try:
        supervisorctl.main()
        code = 0
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code


signal.signal(signal.SIGCHLD, signal.SIG_IGN)
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen(64)
while True:
    ready, _, _ = select.select([listener, sys.stdin], [], [])
    if sys.stdin in ready:
        break
    connection, _ = listener.accept()
    if os.fork() == 0:
        listener.close()
        code = run(json.loads(connection.makefile().readline()))
        connection.sendall(b"%d\n" % code)
        os._exit(0)
    connection.close()
