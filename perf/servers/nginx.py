"""nginx, tuned for static files on as many workers as it has cores."""

import os
from pathlib import Path
from string import Template

from perf.errors import PerfError
from perf.servers.base import Launch, Setup, find_program, first_line, open_files

SENDFILE_FROM_BYTES = 16 * 1024
"""Below, copying is cheaper (1 KiB: by a quarter); at 16 KiB both cost the same."""

UPLOADS = """
        dav_methods PUT;
        client_max_body_size 0;
        client_body_buffer_size 1m;"""
"""With less, a body of 100 MiB costs more."""

# Every temporary path is named because the compiled-in ones belong to the system.
_CONFIG = Template(
    """\
$user
daemon off;
pid $folder/pid;
error_log stderr crit;
worker_processes $workers;
worker_rlimit_nofile $files;
worker_cpu_affinity $affinity;
events {
    use epoll;
    worker_connections $connections;
    multi_accept on;
    accept_mutex off;
}
http {
    client_body_temp_path $body;
    proxy_temp_path $folder/proxy;
    fastcgi_temp_path $folder/fastcgi;
    scgi_temp_path $folder/scgi;
    uwsgi_temp_path $folder/uwsgi;
    default_type application/octet-stream;
    access_log off;
    log_not_found off;
    server_tokens off;
    sendfile $sendfile;
    aio off;
    tcp_nopush $sendfile;
    tcp_nodelay on;
    keepalive_timeout 3600;
    keepalive_requests 1000000000;
    reset_timedout_connection on;
    open_file_cache max=$cached inactive=3600s;
    open_file_cache_valid 3600s;
    open_file_cache_min_uses 1;
    server {
        listen $listen backlog=16384$deferred;
        root $root;$paced$uploads
    }
}
"""
)


class Nginx:
    """Debian's nginx (nginx-light is enough), with a configuration of our own."""

    name = "nginx"

    def version(self) -> str | None:
        program = find_program("nginx")
        return None if program is None else first_line([program, "-v"]).split("/")[-1]

    def unfit(self, setup: Setup) -> str | None:
        del setup
        return None

    def launch(self, setup: Setup, port: int, folder: Path) -> Launch:
        program = find_program("nginx")
        if program is None:
            raise PerfError("nginx is not installed (Debian package nginx-light)")
        path = folder / "nginx.conf"
        path.write_text(self.config(setup, port, folder))
        return Launch(
            [program, "-e", "stderr", "-p", str(folder), "-c", str(path)],
        )

    def config(
        self, setup: Setup, port: int, folder: Path, socket: Path | None = None
    ) -> str:
        """The whole configuration file; it listens on ``socket`` where there is one.

        Small bodies go out by read(2) and one writev(2): sendfile(2) sends the head
        apart, and tcp_nopush, which mends that, costs two system calls.
        """
        sendfile = "on" if setup.body_bytes >= SENDFILE_FROM_BYTES else "off"
        workers = len(setup.cpus)
        files = open_files(2 * setup.connections + setup.files + 2048)
        return _CONFIG.substitute(
            user="user root;" if os.geteuid() == 0 else "",
            folder=folder,
            workers=workers,
            affinity=" ".join(format(1 << cpu, "b") for cpu in setup.cpus),
            connections=setup.connections + 512,
            files=files,
            # Every cached file stays open.
            cached=max(1, min(16384, files - 2 * setup.connections)),
            sendfile=sendfile,
            listen=_listen(setup, port) if socket is None else f"unix:{socket}",
            deferred=" deferred" if setup.defer_accept else "",
            root=setup.root,
            paced=_paced(setup.download_bps),
            uploads=UPLOADS if setup.uploads else "",
            # A rename, and no copy, puts a body into its place.
            body=setup.root / ".bodies" if setup.uploads else folder / "body",
        )


class NginxDav(Nginx):
    """With ngx_http_dav_module, which Debian's nginx-light has, too."""

    name = "nginx-dav"


def _listen(setup: Setup, port: int) -> str:
    own = " reuseport" if len(setup.cpus) > 1 else ""  # a listener for each worker
    return f"{setup.host}:{port}{own}"


def _paced(download_bps: int | None) -> str:
    """Without limit_rate_after (0 by default) a download is limited from its start."""
    if download_bps is None:
        return ""
    return f"\n        limit_rate {download_bps};\n        limit_rate_after 0;"
