"""What every measurement records beside its figures, and where it writes them."""

import contextlib
import datetime
import json
import os
import pathlib
import shlex
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Programs of the bench.
OUT = ROOT / "out" / "bench"


def add_options(parser):
    """Where the product's commands are, and where figures go."""
    parser.add_argument("--bin", default=str(ROOT / ".build" / "release"),
                        help="directory of the product's commands")
    parser.add_argument("--results", default=str(ROOT / "bench-results"))


def busy_fraction(seconds=0.5):
    """How busy the machine is without us: the part of all CPU time that was not idle."""
    def sample():
        fields = [int(field) for field in open("/proc/stat").readline().split()[1:9]]
        return sum(fields), fields[3] + fields[4]
    total, idle = sample()
    time.sleep(seconds)
    total_later, idle_later = sample()
    return 1 - (idle_later - idle) / max(1, total_later - total)


def read_line(path):
    try:
        return pathlib.Path(path).read_text().strip()
    except OSError:
        return "unknown"


def machine_facts():
    cpu = [line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo")
           if line.startswith("model name")]
    memory = int(open("/proc/meminfo").readline().split()[1]) // (1 << 20)
    release = dict(line.split("=", 1) for line in open("/etc/os-release").read().splitlines()
                   if "=" in line)
    return {
        "cpu": cpu[0] if cpu else "unknown",
        "cores": os.cpu_count(),
        "memory_gib": memory,
        "kernel": os.uname().release,
        "system": release.get("PRETTY_NAME", "unknown").strip('"'),
        "congestion_control": read_line("/proc/sys/net/ipv4/tcp_congestion_control"),
        "shmem_huge": read_line("/sys/kernel/mm/transparent_hugepage/shmem_enabled"),
        "hypervisor": any("hypervisor" in line for line in open("/proc/cpuinfo")),
    }


def commit_name():
    def git(*arguments):
        return subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True,
                              text=True, check=True).stdout.strip()
    dirty = git("status", "--porcelain", "--untracked-files=no")
    return git("rev-parse", "--short=10", "HEAD") + ("-changed" if dirty else "")


def begin():
    """A report of this command, now, on this machine and commit."""
    name = f"Benchmarks/{pathlib.Path(sys.argv[0]).name}"
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "commit": commit_name(), "command": shlex.join([name, *sys.argv[1:]]),
        "machine": machine_facts(), "busy_before": busy_fraction(),
    }


def heading(report, title, *facts):
    """The first lines of the Markdown: what was measured, where and how."""
    machine = report["machine"]
    return [
        f"# {title}, {report['date'][:10]}, commit {report['commit']}", "",
        f"- Machine: {machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB"
        f"{', virtual' if machine['hypervisor'] else ''}; {machine['system']},"
        f" Linux {machine['kernel']}, default congestion control"
        f" {machine['congestion_control']}",
        f"- Date: {report['date']}", f"- Command: `{report['command']}`",
        f"- Busy before: {report['busy_before'] * 100:.0f} %", *(f"- {fact}" for fact in facts),
        ""]


def write(report, kind, lines, folder):
    """DATE-TIME-COMMIT-KIND.json and .md, and the latter to the standard output."""
    results = pathlib.Path(folder)
    results.mkdir(exist_ok=True)
    # 2026-11-24T16:51:42+00:00 becomes 2026-11-24-165142: two runs never share a name.
    time_of_day = report["date"][11:19].replace(":", "")
    stem = f"{report['date'][:10]}-{time_of_day}-{report['commit']}-{kind}"
    text = "\n".join(lines) + "\n"
    (results / f"{stem}.json").write_text(json.dumps(report, indent=1) + "\n")
    (results / f"{stem}.md").write_text(text)
    print(text)


@contextlib.contextmanager
def local_cluster(programs, node_count):
    """A cluster on loopback addresses; answers its folder and the environment of its users."""
    with tempfile.TemporaryDirectory(prefix="bproc-bench-") as parent:
        directory = f"{parent}/cluster"
        command = [str(programs / "bpcluster")]
        subprocess.run([*command, "up", "--local", str(node_count), "--dir", directory],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield directory, dict(os.environ, BPROC_SOCKET=f"{directory}/socket")
        finally:
            subprocess.run([*command, "down", "--dir", directory], check=True,
                           stdout=subprocess.DEVNULL)
