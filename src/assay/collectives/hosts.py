"""Two hosts on one machine: network namespaces joined by a link of limited speed (Linux, as root)."""

import contextlib
import secrets
import shutil
import subprocess
from collections.abc import Iterator

from assay.collectives.ranks import Host

_BURST = "256kb"  # A packet of the kernel's own may be 64 KB.
_QUEUE = "50ms"


class NoHosts(OSError):
    """This machine cannot make network namespaces; the message says why."""


@contextlib.contextmanager
def two_hosts(megabits: float) -> Iterator[tuple[Host, Host]]:
    """Two hosts for as long as the block lasts.

    Args:
        megabits: per second, of the link in each direction.

    Raises:
        NoHosts: a tool is missing, or the kernel refuses.
    """
    if not megabits > 0:
        raise ValueError(f"expected a speed above 0, got {megabits}")
    for tool in ("ip", "tc"):
        if shutil.which(tool) is None:
            raise NoHosts(f"there is no {tool} (iproute2)")
    tag = secrets.token_hex(3)
    hosts = (Host(f"assay-{tag}-0", f"as{tag}0"), Host(f"assay-{tag}-1", f"as{tag}1"))
    try:
        for host in hosts:
            _ip("netns", "add", host.namespace)
        _ip("link", "add", hosts[0].interface, "type", "veth", "peer", "name", hosts[1].interface)
        for number, host in enumerate(hosts):
            _ip("link", "set", host.interface, "netns", host.namespace)
            _ip("-n", host.namespace, "addr", "add", f"10.213.77.{number + 1}/24", "dev", host.interface)
            _ip("-n", host.namespace, "link", "set", "lo", "up")
            _ip("-n", host.namespace, "link", "set", host.interface, "up")
            rate = f"{megabits * 1e6:.0f}bit"
            shaping = ["root", "tbf", "rate", rate, "burst", _BURST, "latency", _QUEUE]
            _run("ip", "netns", "exec", host.namespace, "tc", "qdisc", "add", "dev", host.interface, *shaping)
        yield hosts
    finally:
        for host in hosts:
            with contextlib.suppress(NoHosts):
                _ip("netns", "del", host.namespace)  # The link goes with it.
        with contextlib.suppress(NoHosts):
            _ip("link", "del", hosts[0].interface)  # Unless it had not been moved yet.


def _ip(*words: str) -> None:
    _run("ip", *words)


def _run(*words: str) -> None:
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except OSError as error:
        raise NoHosts(f"{words[0]}: {error}") from None
    if done.returncode != 0:
        raise NoHosts(f"{' '.join(words)}: {done.stderr.strip()}")
