//! The configurations, and what each image has besides packages.

use super::{Case, Server};

/// For those whose X server takes its size from the environment.
const SCREEN: &[(&str, &str)] = &[("DISPLAY", ":0"), ("DISPLAY_WIDTH", "640"), ("DISPLAY_HEIGHT", "480")];

#[test]
fn supervisord_cron_php_fpm_and_sshd_behind_a_password() {
    let case = Case {
        configuration: "bundle--docksal-cli-debian-main",
        server: Some(Server { path: "/var/run/supervisor.sock", login: Some(("dummy", "dummy")) }),
        environment: &[],
        files: &[],
        programs: &[("cron", "cron"), ("php-fpm", "php-fpm"), ("sshd", "sshd")],
    };
    case.check();
}

#[test]
fn supervisord_cron_nginx_php_fpm_and_a_tail_that_log_to_the_daemons_stderr() {
    let case = Case {
        configuration: "bundle--humhub",
        server: None,
        environment: &[],
        files: &[
            // Debian's cron has another name and other options.
            ("/usr/local/sbin/crond", "#!/bin/sh\nexec cron -f\n"),
            ("/var/www/localhost/htdocs/protected/runtime/logs/app.log", ""),
        ],
        programs: &[("cron", "cron"), ("humhub-log", "tail"), ("nginx", "nginx"), ("php-fpm", "php-fpm82")],
    };
    case.check();
}

#[test]
fn supervisord_an_x_server_with_clients_that_need_it() {
    let case = Case {
        configuration: "bundle--docker-novnc",
        server: None,
        environment: SCREEN,
        files: &[],
        programs: &[
            ("fluxbox", "fluxbox"),
            ("websockify", "websockify"),
            ("x11vnc", "x11vnc"),
            ("xterm", "xterm"),
            ("xvfb", "Xvfb"),
        ],
    };
    case.check();
}

#[test]
fn supervisord_an_x_server_with_a_vnc_password() {
    let case = Case {
        configuration: "bundle--wine-box",
        server: None,
        environment: SCREEN,
        files: &[],
        programs: &[("fluxbox", "fluxbox"), ("websockify", "websockify"), ("x11vnc", "x11vnc"), ("xvfb", "Xvfb")],
    };
    case.check();
}

#[test]
fn supervisord_nginx_and_php_fpm_named_by_expansion() {
    let case = Case {
        configuration: "bundle--zabbix-web-nginx",
        server: Some(Server { path: "/tmp/supervisor.sock", login: Some(("zbx", "password")) }),
        environment: &[],
        files: &[],
        programs: &[("nginx", "nginx"), ("php-fpm83", "php-fpm83")],
    };
    case.check();
}

#[test]
fn supervisord_dbus_xrdp_and_sshd_in_order_of_priority() {
    let case = Case {
        configuration: "AgorastisMesaio+docker-img-linuxrdp+etc__supervisord.conf",
        server: Some(Server { path: "/run/supervisord.sock", login: None }),
        environment: &[],
        files: &[],
        programs: &[("dbus", "dbus-daemon"), ("sshd", "sshd"), ("xrdp", "xrdp"), ("xrdp-sesman", "xrdp-sesman")],
    };
    case.check();
}

#[test]
fn supervisord_apache_and_postgresql() {
    let case = Case {
        configuration: "Igalia+phpreport+supervisor__supervisord.conf",
        server: None,
        environment: &[],
        files: &[],
        programs: &[("apache2", "apache2"), ("postgresql", "postgres")],
    };
    case.check();
}

#[test]
fn supervisord_apache_with_its_variables_and_php_fpm() {
    let case = Case {
        configuration: "semhoun+docker_webserver+conf__supervisord.conf",
        server: None,
        environment: &[],
        files: &[],
        programs: &[("apache2", "apache2"), ("phpfpm", "php-fpm")],
    };
    case.check();
}

#[test]
fn supervisord_nginx_php_fpm_and_a_worker_with_its_own_user() {
    let case = Case {
        configuration: "pterodactyl+panel+.github__docker__supervisord.conf",
        server: Some(Server { path: "/tmp/supervisor.sock", login: None }),
        environment: &[],
        files: &[("/app/artisan", "<?php while (true) sleep(1);\n"), ("/var/log/supervisord/.keep", "")],
        programs: &[("nginx", "nginx"), ("php-fpm", "php-fpm"), ("queue-worker", "php")],
    };
    case.check();
}

#[test]
fn supervisord_nginx_and_php_fpm_that_stop_by_quit() {
    let case = Case {
        configuration: "richarvey+nginx-php-fpm+conf__supervisord.conf",
        server: Some(Server { path: "/dev/shm/supervisor.sock", login: None }),
        environment: &[],
        files: &[],
        programs: &[("nginx", "nginx"), ("php-fpm", "php-fpm")],
    };
    case.check();
}

#[test]
fn supervisord_nginx_and_php_fpm_that_log_to_the_first_process() {
    let case = Case {
        configuration: "Turgon37+docker-glpi+root__etc__supervisord.conf",
        server: Some(Server { path: "/var/run/supervisor.sock", login: None }),
        environment: &[],
        files: &[("/etc/nginx/modules-enabled/foreground.conf", "daemon off;\n")],
        programs: &[("nginx", "nginx"), ("php", "php-fpm")],
    };
    case.check();
}

#[test]
fn supervisord_nginx_redis_and_five_scripts() {
    let case = Case {
        configuration: "openspug+spug+docs__docker__spug.ini",
        server: None,
        environment: &[],
        files: &[
            ("/etc/redis.conf", "save \"\"\n"),
            ("/data/spug/spug_api/logs/.keep", ""),
            ("/data/spug/spug_api/tools/start-api.sh", "exec tail -f /dev/null\n"),
            ("/data/spug/spug_api/tools/start-monitor.sh", "exec tail -f /dev/null\n"),
            ("/data/spug/spug_api/tools/start-scheduler.sh", "exec tail -f /dev/null\n"),
            ("/data/spug/spug_api/tools/start-worker.sh", "exec tail -f /dev/null\n"),
            ("/data/spug/spug_api/tools/start-ws.sh", "exec tail -f /dev/null\n"),
        ],
        programs: &[
            ("nginx", "nginx"),
            ("redis", "redis-server"),
            ("spug-api", "tail"),
            ("spug-monitor", "tail"),
            ("spug-scheduler", "tail"),
            ("spug-worker", "tail"),
            ("spug-ws", "tail"),
        ],
    };
    case.check();
}
