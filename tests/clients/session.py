"""Python's xmlrpc.client over a Unix socket: what scripts and the agents of monitoring systems do with it."""
import http.client
import socket
import sys
import xmlrpc.client


class Connection(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(sys.argv[1])


class Transport(xmlrpc.client.Transport):
    def make_connection(self, host):
        return Connection("localhost")


def fault(call, *arguments):
    try:
        return call(*arguments)
    except xmlrpc.client.Fault as error:
        return error.faultCode, error.faultString


server = xmlrpc.client.ServerProxy("http://localhost/RPC2", transport=Transport(), allow_none=True)
supervisor = server.supervisor
assert supervisor.getState() == {"statecode": 1, "statename": "RUNNING"}
assert supervisor.getAPIVersion() == "3.0"
assert supervisor.getIdentification() == "supervisor"
assert "supervisor.getAllProcessInfo" in server.system.listMethods()

# Datadog's agent and Telegraf read all of these.
types = {
    "name": str, "group": str, "start": int, "stop": int, "now": int, "state": int, "statename": str, "spawnerr": str,
    "exitstatus": int, "logfile": str, "stdout_logfile": str, "stderr_logfile": str, "pid": int, "description": str,
}
for info in supervisor.getAllProcessInfo():
    assert {name: type(value) for name, value in info.items()} == types, info
assert [info["name"] for info in supervisor.getAllProcessInfo()] == ["cat", "off", "talk"]

assert fault(supervisor.startProcess, "none") == (10, "BAD_NAME: none")
assert fault(supervisor.startProcess, "cat") == (60, "ALREADY_STARTED: cat")
assert fault(supervisor.stopProcess, "off") == (70, "NOT_RUNNING: off")
assert fault(supervisor.startProcess) == (2, "INCORRECT_PARAMETERS")
assert fault(supervisor.nothing) == (1, "UNKNOWN_METHOD")

assert supervisor.startProcess("off") is True
assert supervisor.getProcessInfo("off")["statename"] == "RUNNING"
assert supervisor.stopProcess("off", True) is True
assert supervisor.getProcessInfo("off")["statename"] == "STOPPED"
assert supervisor.sendProcessStdin("cat", "gr\u00fc\u00df <&>\n") is True
while "<&>" not in supervisor.readProcessStdoutLog("cat", 0, 0):
    pass
assert supervisor.tailProcessStdoutLog("talk", 0, 3) == ["de\n", 6, True]
assert supervisor.signalProcess("talk", "CONT") is True

# As the original's, values are not in arrays of one, which the class MultiCall expects.
calls = [("getPID", []), ("getProcessInfo", ["cat"]), ("getProcessInfo", ["none"])]
answers = server.system.multicall([{"methodName": f"supervisor.{name}", "params": words} for name, words in calls])
assert answers[0] == supervisor.getPID() and answers[1]["name"] == "cat"
assert answers[2] == {"faultCode": 10, "faultString": "BAD_NAME: none"}
assert [result["status"] for result in supervisor.stopAllProcesses()] == [80, 80]
print("passed")
