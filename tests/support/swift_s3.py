"""OpenStack Swift with its S3 API in one process: `python tests/support/swift_s3.py FOLDER`. Prints its port.

A real S3 server that pip installs: account, container, object and proxy server, one replica, one disk (a folder on a
file system with extended attributes). The key is SWIFT_USER (account:user), the secret SWIFT_SECRET. SWIFT_LISTEN:
address:port, else a free one on loopback. SWIFT_FAULTS: a file; while it holds `SECONDS SHARE`, every answer takes so
much longer and that share of them, from 0 to 1, is 503.
"""

# ruff: noqa: E402
import eventlet

eventlet.monkey_patch()  # before anything that opens a socket

import logging
import os
import random
import sys
from pathlib import Path
from typing import Any

from eventlet import wsgi

ACCOUNT, _, USER = os.environ.get("SWIFT_USER", "test:tester").partition(":")
SECRET = os.environ.get("SWIFT_SECRET", "testing")
ADDRESS, _, PORT = os.environ.get("SWIFT_LISTEN", "127.0.0.1:0").partition(":")
SLOW_DOWN = b"<?xml version='1.0' encoding='UTF-8'?><Error><Code>SlowDown</Code><Message>Slow down.</Message></Error>"
BACKENDS = ("account", "container", "object")
FILTERS = {
    "catch_errors": {},
    "gatekeeper": {},
    "listing_formats": {},
    "s3api": {"location": "us-east-1", "s3_acl": "false"},
    "tempauth": {f"user_{ACCOUNT}_{USER}": f"{SECRET} .admin"},
    "copy": {},
    "slo": {"rate_limit_after_segment": "100000"},
    "versioned_writes": {"allow_object_versioning": "true"},
    "symlink": {},
}


def main(folder: Path) -> None:
    etc = folder / "etc"
    etc.mkdir(parents=True, exist_ok=True)  # it may go on with what an earlier one held
    (folder / "disks" / "d1").mkdir(parents=True, exist_ok=True)
    set_cluster(etc)
    quiet = logging.getLogger("swift-loopback")
    quiet.addHandler(logging.NullHandler())
    quiet.propagate = False
    common = {"swift_dir": etc, "devices": folder / "disks", "mount_check": "false", "log_level": "CRITICAL"}
    for kind in BACKENDS:
        socket = eventlet.listen(("127.0.0.1", 0))
        make_ring(etc, kind, socket.getsockname()[1])
        server = {"use": f"egg:swift#{kind}", "fallocate_reserve": "0", "disable_fallocate": "true"}
        app = load(etc, kind, {"DEFAULT": common, "pipeline:main": {"pipeline": kind}, f"app:{kind}": server})
        eventlet.spawn(wsgi.server, socket, app, quiet)
    proxy = {
        "DEFAULT": common,
        "pipeline:main": {"pipeline": " ".join([*FILTERS, "proxy-server"])},
        "app:proxy-server": {"use": "egg:swift#proxy", "account_autocreate": "true"},
        **{f"filter:{name}": {"use": f"egg:swift#{name}", **options} for name, options in FILTERS.items()},
    }
    socket = eventlet.listen((ADDRESS, int(PORT)))
    app = faulty(load(etc, "proxy", proxy), Path(os.environ.get("SWIFT_FAULTS", os.devnull)))
    print(socket.getsockname()[1], flush=True)
    from swift.common.wsgi import SwiftHttpProtocol

    wsgi.server(socket, app, quiet, protocol=SwiftHttpProtocol)


def faulty(app: Any, faults: Path) -> Any:
    """The server's application, slow and refusing while a file says so."""
    draw = random.Random(0)

    def serve(environ: dict[str, Any], start_response: Any) -> Any:
        if asked := faults.read_text().split():
            eventlet.sleep(float(asked[0]))
            if draw.random() < float(asked[1]):
                start_response("503 Slow Down", [("Content-Type", "application/xml"), ("Connection", "close")])
                return [SLOW_DOWN]
        return app(environ, start_response)

    return serve


def set_cluster(etc: Path) -> None:
    """Swift reads /etc/swift when it is imported; these stand for it."""
    from swift.common import storage_policy, utils
    from swift.common.utils import config

    file = etc / "swift.conf"
    file.write_text(
        "[swift-hash]\nswift_hash_path_prefix=loopback\nswift_hash_path_suffix=loopback\n"
        "[storage-policy:0]\nname=default\ndefault=yes\n"
    )
    for module in (utils, config, storage_policy):
        if hasattr(module, "SWIFT_CONF_FILE"):
            module.SWIFT_CONF_FILE = str(file)
    utils.HASH_PATH_PREFIX = utils.HASH_PATH_SUFFIX = b"loopback"
    utils.validate_hash_conf()
    storage_policy.reload_storage_policies()


def make_ring(etc: Path, kind: str, port: int) -> None:
    """Where things of a kind are kept: all on the one disk."""
    from swift.common.ring import RingBuilder

    place = {"ip": "127.0.0.1", "port": port, "replication_ip": "127.0.0.1", "replication_port": port}
    builder = RingBuilder(part_power=4, replicas=1, min_part_hours=0)
    builder.add_dev({"id": 0, "region": 1, "zone": 1, "device": "d1", "weight": 1.0, **place})
    builder.rebalance()
    builder.get_ring().save(str(etc / f"{kind}.ring.gz"))


def load(etc: Path, name: str, sections: dict[str, dict[str, object]]) -> object:
    from swift.common.wsgi import loadapp

    lines = [f"[{name}]\n" + "".join(f"{k} = {v}\n" for k, v in values.items()) for name, values in sections.items()]
    file = etc / f"{name}.conf"
    file.write_text("\n".join(lines))
    return loadapp(str(file))


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
