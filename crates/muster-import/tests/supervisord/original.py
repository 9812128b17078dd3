"""What supervisor's own parser makes of configurations: one JSON line for each on standard input.

Input: {"env": {...}, "files": {"/D/s.conf": "text", ...}} per line, paths below /D; /D stands for a new directory.
Output: {"error": "..."} or {"processes": [...], "servers": [...], "warnings": [...], "groups": [...],
"settings": [...]}.
"""
import io, json, os, shutil, sys, tempfile

sys.argv = ["/usr/bin/supervisord"]
import platform

platform.node = lambda: "vm"
from supervisor import events
from supervisor.options import ServerOptions


class Exit(Exception):
    pass


def leave(_):
    raise Exit()


def stream(config, name):
    log = getattr(config, name + "_logfile")
    log = "AUTO" if isinstance(log, type) else log
    parts = ["logfile_maxbytes", "logfile_backups", "capture_maxbytes", "events_enabled", "syslog"]
    return [log] + [getattr(config, name + "_" + part) for part in parts]


def process(group, config):
    restart = config.autorestart
    own = [config.name, group.name, group.priority, config.command, config.directory, config.umask, config.priority]
    own += [config.autostart, restart.__name__ if restart else "Never", config.startsecs, config.startretries]
    own += [config.uid, stream(config, "stdout"), stream(config, "stderr"), int(config.stopsignal), config.stopwaitsecs]
    own += [config.stopasgroup, config.killasgroup, config.exitcodes, config.redirect_stderr]
    return own + [sorted(config.environment.items()), config.serverurl]


def server(config):
    if "port" in config:
        return [config["host"], config["port"], config["username"], config["password"]]
    return [config["file"], config["chmod"], config["username"], config["password"], list(config["chown"])]


def group(config):
    head = [config.name, config.priority]
    if hasattr(config, "socket_config"):
        socket = config.socket_config
        owner = getattr(socket, "owner", None)
        return head + ["fcgi", socket.url, socket.get_backlog(), getattr(socket, "mode", None), owner and list(owner)]
    if hasattr(config, "pool_events"):
        handler = config.result_handler
        handler = handler.__module__ + ":" + handler.__name__
        names = sorted(events.getEventNameByType(event) for event in set(config.pool_events))
        return head + ["listener", config.buffer_size, names, handler]
    return head + ["group"]


SETTINGS = "nodaemon silent nocleanup strip_ansi umask directory logfile logfile_maxbytes logfile_backups loglevel"
SETTINGS += " pidfile identifier childlogdir minfds minprocs"


def settings(options):
    return [getattr(options, name) for name in SETTINGS.split()]


def parse(case):
    directory = tempfile.mkdtemp(prefix="original")
    place = lambda text: text.replace("/D", directory)
    back = lambda value: json.loads(json.dumps(value).replace(directory, "/D"))
    try:
        for path, text in case["files"].items():
            path = place(path)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(text.encode("utf-8", "surrogateescape"))
        os.environ.clear()
        os.environ.update(case["env"])
        tempfile.tempdir = "/tmp"
        os.chdir("/")
        options = ServerOptions()
        options.stderr = io.StringIO()
        options.exit = leave
        try:
            options.realize(["-c", place("/D/s.conf")], doc="")
        except Exit:
            text = options.stderr.getvalue()
            return {"error": back(text[len("Error: "):text.rindex("\nFor help")])}
        except Exception as why:
            return {"crash": repr(why)}
        groups = options.process_group_configs
        processes = [process(group, config) for group in groups for config in group.process_configs]
        servers = [server(config) for config in options.server_configs]
        whole = {"processes": processes, "servers": servers, "warnings": options.parse_warnings}
        return back(dict(whole, groups=[group(config) for config in groups], settings=settings(options)))
    finally:
        shutil.rmtree(directory)


for line in sys.stdin:
    print(json.dumps(parse(json.loads(line))), flush=True)
