"""How soon `mfc lsp` answers while a spec of 1,000 lines is edited, and what it takes.

    python benchmarks/lsp.py [--strokes 200] [--seed 0]

A client on standard input and output types letters at random places of the spec and takes them back, and waits for
the diagnostics of that version. With every other stroke it asks for completions at once, as editors do; with those in
between it asks for a hover at once. When the diagnostics are there, it asks for another hover elsewhere. Prints the
median, the 95th percentile and the most of each in milliseconds, from the stroke or the question on, the processor time
of the server for a stroke, its peak memory, and whether it loaded torch; last, one JSON line.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from check import BLOCK, DATA

URI = "file:///spec.mfs"


class Client:
    """Speaks with a server; what it sends is read as it comes, with the time when it came."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        )
        self.received: list[tuple[float, dict[str, Any]]] = []
        self.arrived = threading.Condition()
        self.asked = 0
        threading.Thread(target=self._read, daemon=True).start()

    def notify(self, method: str, params: Any) -> float:
        """Sends a notification, and tells when."""
        return self._send({"method": method, "params": params})

    def request(self, method: str, params: Any) -> Callable[[], float]:
        """Sends a request; what is given back waits for the answer, and tells after how many seconds it came."""
        self.asked += 1
        number = self.asked
        start = self._send({"id": number, "method": method, "params": params})
        return lambda: self.wait(lambda m: m.get("id") == number and "method" not in m)[0] - start

    def wait(self, wanted: Callable[[dict[str, Any]], bool]) -> tuple[float, dict[str, Any]]:
        """The first message that fulfils a condition, with the time when it came."""
        with self.arrived:
            while True:
                for moment, message in self.received:
                    if wanted(message):
                        assert "error" not in message, message
                        return moment, message
                if not self.arrived.wait(60):
                    raise TimeoutError

    def _send(self, message: dict[str, Any]) -> float:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self.process.stdin is not None
        start = time.perf_counter()
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        self.process.stdin.flush()
        return start

    def _read(self) -> None:
        out = self.process.stdout
        assert out is not None
        while header := out.readline():
            length = int(header.split(b":")[1])
            while out.readline().strip():
                pass
            body = out.read(length)
            moment = time.perf_counter()
            with self.arrived:
                self.received.append((moment, json.loads(body)))
                self.arrived.notify_all()


class Typist:
    """Changes the text of an open spec, and measures what happens then."""

    def __init__(self, client: Client, text: str, seed: int) -> None:
        self.client = client
        self.text = text
        self.version = 1
        self.draw = random.Random(seed)
        self.times: dict[str, list[float]] = {}

    def position(self, offset: int) -> dict[str, int]:
        line = self.text.count("\n", 0, offset)
        return {"line": line, "character": offset - (self.text.rfind("\n", 0, offset) + 1)}

    def change(self, start: int, end: int, new: str) -> float:
        place = {"start": self.position(start), "end": self.position(end)}
        self.text = self.text[:start] + new + self.text[end:]
        self.version += 1
        return self.client.notify(
            "textDocument/didChange",
            {
                "textDocument": {"uri": URI, "version": self.version},
                "contentChanges": [{"range": place, "text": new}],
            },
        )

    def ask(self, what: str, method: str, offset: int) -> Callable[[], None]:
        """Asks at a place; what is given back waits for the answer, and notes how long it took."""
        where = {"textDocument": {"uri": URI}, "position": self.position(offset)}
        answer = self.client.request(f"textDocument/{method}", where)
        return lambda: self.times.setdefault(what, []).append(answer())

    def reported(self) -> float:
        """When the diagnostics of the present version came."""

        def wanted(message: dict[str, Any]) -> bool:
            params = message.get("params", {})
            return params.get("uri") == URI and params.get("version") == self.version

        moment, _ = self.client.wait(wanted)
        with self.client.arrived:
            self.client.received.clear()
        return moment

    def stroke(self, start: int, end: int, new: str, method: str) -> None:
        at = self.change(start, end, new)
        answered = self.ask(f"{method} right after a stroke", method, start + len(new))
        answered()
        self.times.setdefault("diagnostics", []).append(self.reported() - at)
        self.ask("hover at rest", "hover", self.draw.randrange(len(self.text)))()
        time.sleep(self.draw.uniform(0.05, 0.15))


def processor_time(process: subprocess.Popen[bytes]) -> float:
    """Seconds that a process has had of processors."""
    after_name = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")


def peak(process: subprocess.Popen[bytes]) -> float:
    """The most memory that a process ever had, in MB."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    [line] = [line for line in lines if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--strokes", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    text = DATA + "".join(BLOCK.format(i=i) for i in range(37))
    with tempfile.TemporaryDirectory() as cache:
        client = Client([sys.executable, "-m", "mfc", "lsp"], os.environ | {"MFC_CACHE": cache})
        client.request("initialize", {"processId": os.getpid(), "rootUri": None, "capabilities": {}})()
        client.notify("initialized", {})
        item = {"uri": URI, "languageId": "mfs", "version": 1, "text": text}
        client.notify("textDocument/didOpen", {"textDocument": item})
        typist = Typist(client, text, given.seed)
        typist.reported()
        before = processor_time(client.process)
        for number in range(given.strokes // 2):
            at = typist.draw.randrange(len(text))
            method = ("completion", "hover")[number % 2]
            typist.stroke(at, at, typist.draw.choice("abcdefgh_ .(=\n"), method)
            typist.stroke(at, at + 1, "", method)
        spent = (processor_time(client.process) - before) / (given.strokes // 2 * 2)
        memory = peak(client.process)
        torch = "libtorch" in Path(f"/proc/{client.process.pid}/maps").read_text()
        client.request("shutdown", None)()
        client.notify("exit", None)
        assert client.process.wait(60) == 0
    found: dict[str, Any] = {}
    for what, seconds in sorted(typist.times.items()):
        *_, high = statistics.quantiles(seconds, n=20)
        found[what] = {"median": statistics.median(seconds), "p95": high, "most": max(seconds)}
        shown = "  ".join(f"{name} {1e3 * value:6.1f}" for name, value in found[what].items())
        print(f"{what:32} {shown} ms  of {len(seconds)}")
    print(f"{'processor time for a stroke':32} mean {1e3 * spent:9.1f} ms, with all that is asked")
    print(f"{'peak memory':32} {memory:6.0f} MB; torch {'loaded' if torch else 'not loaded'}")
    print(
        json.dumps(
            {
                "lines": text.count("\n"),
                **found,
                "cpu_s_for_a_stroke": spent,
                "peak_mb": memory,
                "torch": torch,
            }
        )
    )


if __name__ == "__main__":
    main()
