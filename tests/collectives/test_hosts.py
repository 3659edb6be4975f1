import subprocess

import pytest
import torch

from assay.collectives import hosts
from assay.collectives.hosts import NoHosts, two_hosts
from assay.collectives.operations import all_reduce
from assay.collectives.ranks import run_ranks


def existing():
    return subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout


def interfaces():
    with open("/proc/net/dev") as file:
        names = [line.split(":")[0].strip() for line in file if ":" in line]
    x = torch.ones(50_000)
    all_reduce(x)
    return [names, x.unique().tolist()]


def test_ranks_on_two_hosts_see_only_their_link():
    try:
        with two_hosts(400) as found:
            told = run_ranks(2, interfaces, hosts=found)
            assert all(host.namespace in existing() for host in found)
    except NoHosts as error:
        pytest.skip(str(error))
    for host, (names, values) in zip(found, told, strict=True):
        assert host.interface in names
        assert set(names) <= {"lo", host.interface, "ifb0", "ifb1"}
        assert values == [2.0]
    assert not any(host.namespace in existing() for host in found)


def test_nothing_stays_behind_when_it_fails(monkeypatch):
    try:
        with two_hosts(100):
            pass
    except NoHosts as error:
        pytest.skip(str(error))
    before = existing()
    run = hosts._run

    def breaks(*words):
        if "tbf" in words:
            raise NoHosts("no such qdisc")
        run(*words)

    monkeypatch.setattr(hosts, "_run", breaks)
    with pytest.raises(NoHosts, match="no such qdisc"), two_hosts(100):
        pass
    assert existing() == before


def test_says_why_there_are_none(monkeypatch):
    monkeypatch.setattr(hosts.shutil, "which", lambda tool: None if tool == "tc" else tool)
    with pytest.raises(NoHosts, match="there is no tc"), two_hosts(100):
        pass
    with pytest.raises(ValueError, match="speed above 0, got 0"), two_hosts(0):
        pass


def test_says_what_the_kernel_said():
    with pytest.raises(NoHosts, match="false: "):
        hosts._run("false")
    with pytest.raises(NoHosts, match="no-such-program"):
        hosts._run("no-such-program")
