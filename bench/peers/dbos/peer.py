"""The five-step order on DBOS: starts PostgreSQL on data of its own, places orders from one process per core, and loads
them round by round as standard input asks. How it is talked to: bench/peers/README.md."""

import importlib.metadata
import itertools
import json
import os
import random
import shutil
import signal
import string
import subprocess
import sys
import tempfile
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

# Payloads as in bench/src/engine/workload.rs: letters and digits by chance, cut from a pool.
PAYLOAD_BYTES = 256
POOL = "".join(random.choices(string.ascii_letters + string.digits, k=64 * 1024))
STEPS = 5
# PostgreSQL refuses to run as root; Debian's package makes this user.
UNPRIVILEGED = "postgres"
START_LIMIT_S = 60
STOP_LIMIT_S = 10
# What DBOS opens by default in a process: a pool of 20, and what listens and polls beside it.
CONNECTIONS_PER_WORKER = 25
CONNECTIONS_DEFAULT = 100


def text(number, part):
    """One of the texts of an order: the input is part 0, the answers of the steps are those after it."""
    place = (number * 7_919 + part * 4_099) % (len(POOL) - PAYLOAD_BYTES)
    return POOL[place:place + PAYLOAD_BYTES]


class Postgres:
    """A PostgreSQL of this program's own. It listens on a socket in a private folder and on no port."""

    def __init__(self, binaries, beside, workers):
        self.binaries = binaries
        self.connections = max(CONNECTIONS_DEFAULT, CONNECTIONS_PER_WORKER * workers + 20)
        self.folder = tempfile.mkdtemp(prefix="souk-bench-dbos-", dir=beside)
        # A socket's path must be short, which the data folder's need not be.
        self.socket = tempfile.mkdtemp(prefix="souk-pg-")
        self.process = None

    def __enter__(self):
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.rmtree(self.socket, ignore_errors=True)

    def _start(self):
        user = "souk"
        data = os.path.join(self.folder, "data")
        if os.geteuid() == 0:
            for folder in (self.folder, self.socket):
                shutil.chown(folder, UNPRIVILEGED, UNPRIVILEGED)
        initdb = [os.path.join(self.binaries, "initdb"), "--auth=trust", f"--username={user}", "--encoding=UTF8",
                  "--locale=C.UTF-8", "-D", data]
        made = subprocess.run(as_unprivileged() + initdb, cwd=self.folder, capture_output=True, text=True)
        if made.returncode != 0:
            raise SystemExit(f"initdb failed: {made.stderr.strip()}")
        log = open(os.path.join(self.folder, "log"), "wb")
        serve = [os.path.join(self.binaries, "postgres"), "-D", data, "-k", self.socket, "-c", "listen_addresses=",
                 "-c", f"max_connections={self.connections}"]
        # The kernel ends it (a fast shutdown) even if this program is killed.
        guard = ["setpriv", "--pdeathsig", "INT"]
        self.process = subprocess.Popen(as_unprivileged(guard) + serve, cwd=self.folder, stdin=subprocess.DEVNULL,
                                        stdout=log, stderr=log, start_new_session=True)
        ready = [os.path.join(self.binaries, "pg_isready"), "-q", "-h", self.socket]
        deadline = time.monotonic() + START_LIMIT_S
        while subprocess.run(ready).returncode != 0:
            if self.process.poll() is not None or time.monotonic() > deadline:
                with open(log.name, errors="replace") as text:
                    raise SystemExit(f"PostgreSQL did not start: {text.read()[-2000:]}")
            time.sleep(0.1)

    def url(self):
        return f"postgresql+psycopg://souk@/souk?host={self.socket}"

    def settings(self):
        """What it says of itself, so that the table shows the settings that were measured."""
        shown = {}
        for name in ("server_version", "fsync", "synchronous_commit", "shared_buffers", "max_connections"):
            command = [os.path.join(self.binaries, "psql"), "-XAt", "-h", self.socket, "-U", "souk", "postgres",
                       "-c", f"SHOW {name}"]
            shown[name] = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
        version = shown.pop("server_version").split()[0]
        return f"PostgreSQL {version} with " + ", ".join(f"{name}={value}" for name, value in shown.items())


def as_unprivileged(guard=()):
    """The command's beginning: `guard`, and a change of user where this is root."""
    if os.geteuid() != 0:
        return list(guard)
    change = [f"--reuid={UNPRIVILEGED}", f"--regid={UNPRIVILEGED}", "--clear-groups"]
    return (list(guard) or ["setpriv"]) + change


class Worker:
    """A process with a DBOS of its own, as a deployment on several cores has them."""

    def __init__(self, url, number):
        arguments = [sys.executable, os.path.abspath(__file__), "worker", url, str(number)]
        self.process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        start_new_session=True)

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("a DBOS process ended; what it wrote is above")
        return json.loads(line)

    def ask(self, in_flight, from_, until):
        self.process.stdin.write(f"{in_flight} {from_} {until}\n")
        self.process.stdin.flush()

    def stop(self):
        self.process.stdin.close()
        try:
            self.process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def supervise(binaries, beside, workers):
    # Signals reach the whole process group, but this must live to stop its children: it ends with its input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Postgres(binaries, beside, workers) as postgres:
        started = []
        try:
            for number in range(workers):
                started.append(Worker(postgres.url(), number))
                # One after the other: the first makes the tables.
                started[-1].answer()
            versions = f"DBOS {importlib.metadata.version('dbos')}, Python {sys.version.split()[0]}"
            say({"ready": f"{versions}, {workers} processes, default settings; {postgres.settings()}"})
            for line in sys.stdin:
                say(round_on(started, line))
        finally:
            for worker in started:
                worker.stop()


def round_on(workers, line):
    """`round IN_FLIGHT WARM_UP_MS MEASURE_MS`, spread over as many processes as there are customers."""
    word, in_flight, warm_up_ms, measure_ms = line.split()
    if word != "round":
        raise SystemExit(f"not a round: {line!r}")
    in_flight = int(in_flight)
    # The monotonic clock is the machine's, so that all processes measure the same span.
    from_ = time.monotonic() + int(warm_up_ms) / 1000
    until = from_ + int(measure_ms) / 1000
    used = workers[:in_flight]
    for number, worker in enumerate(used):
        share = in_flight // len(used) + (number < in_flight % len(used))
        worker.ask(share, from_, until)
    answers = [worker.answer() for worker in used]
    return {"latencies_us": [latency for answer in answers for latency in answer["latencies_us"]],
            "orders": sum(answer["orders"] for answer in answers)}


def work(url, number):
    # Imported here: the supervisor needs none of it.
    from dbos import DBOS, SetWorkflowID

    DBOS(config={"name": "souk-bench", "system_database_url": url, "executor_id": f"worker-{number}",
                 "application_version": "1", "console_log_level": "ERROR", "log_level": "ERROR"})

    @DBOS.step()
    def confirm(number, step):
        return text(number, step)

    @DBOS.workflow()
    def place(order):
        answer = order["text"]
        for step in range(1, STEPS + 1):
            answer = confirm(order["number"], step)
        return answer

    numbers = itertools.count()

    DBOS.launch()

    def customer(from_, until):
        latencies, orders = [], 0
        while (placed := time.monotonic()) < until:
            order = next(numbers)
            with SetWorkflowID(str(uuid.uuid4())):
                if place({"number": order, "text": text(order, 0)}) != text(order, STEPS):
                    raise SystemExit("an order's result is not what was ordered")
            answered = time.monotonic()
            orders += 1
            if from_ <= answered < until:
                latencies.append(int((answered - placed) * 1_000_000))
        return latencies, orders

    say("ready")
    for line in sys.stdin:
        in_flight, from_, until = line.split()
        with ThreadPoolExecutor(max_workers=int(in_flight)) as threads:
            waited = [threads.submit(customer, float(from_), float(until)) for _ in range(int(in_flight))]
            done = [one.result() for one in waited]
        say({"latencies_us": [latency for latencies, _ in done for latency in latencies],
             "orders": sum(orders for _, orders in done)})
    DBOS.destroy()


def say(what):
    print(json.dumps(what), flush=True)


def main():
    if len(sys.argv) == 4 and sys.argv[1] == "worker":
        work(sys.argv[2], int(sys.argv[3]))
    elif len(sys.argv) in (3, 4):
        workers = int(sys.argv[3]) if len(sys.argv) == 4 else len(os.sched_getaffinity(0))
        supervise(sys.argv[1], sys.argv[2], workers)
    else:
        raise SystemExit("usage: peer.py POSTGRES_BINARIES DATA_FOLDER [PROCESSES]")


if __name__ == "__main__":
    main()
