"""How long an editor waits: `cnndsl fmt`, the language server, `cnndsl watch`.

    python benchmarks/editing.py [MINUTES]

Prints the CPU milliseconds that a file of the zoo takes to be laid out; the wall-clock
milliseconds from a keystroke to the messages over the zoo, as an editor sees them, and from a
save of ResNet-50 to its picture. Then a server is typed at by chance for so many minutes (none
by default), and must live. Needs the extra `test`.
"""

from __future__ import annotations

import gc
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from cnndsl.editing.layout import layout  # noqa: E402 - the checkout is not installed
from cnndsl.files import shipped, zoo  # noqa: E402
from tests.editing.client import Editor  # noqa: E402
from tests.editing.test_lsp import typed_at_random  # noqa: E402
from tests.editing.test_watch import Watched  # noqa: E402

ROUNDS = 5


def laid_out() -> None:
    texts = [path.read_text(encoding="utf-8") for path in sorted(zoo().rglob("*.arch"))]
    spent = []
    gc.freeze()  # what else was imported is not this command's
    for text in texts:
        start = time.process_time()
        layout(text)
        spent.append(1000 * (time.process_time() - start))
    said("fmt, a file", spent[1:])  # the first compiles the patterns


def keystrokes(folder: Path) -> None:
    editor = Editor(folder)
    spent = {}
    for name, path in shipped().items():
        text = path.read_text(encoding="utf-8")
        uri = editor.open(f"{name}.arch", text)
        editor.diagnostics(uri)
        times = []
        for number in range(ROUNDS):
            time.sleep(0.2)  # the next key, not one of a burst
            start = time.perf_counter()
            # In the middle of the text, and not always the same.
            at = text.index("\n", len(text) // 2)
            editor.change(uri, f"{text[:at]} # {number}{text[at:]}")
            editor.diagnostics(uri)
            times.append(1000 * (time.perf_counter() - start))
        spent[name] = statistics.median(times)
    worst = max(spent, key=lambda name: spent[name])
    said(f"keystroke to messages (worst: {worst})", list(spent.values()))
    editor.close()


def pictures(folder: Path) -> None:
    text = shipped()["resnet50"].read_text(encoding="utf-8")
    watched = Watched(folder, text)
    before = watched.until(lambda shown: "files" in shown)["svg"]
    spent = []
    for number in range(2 * ROUNDS):
        start = time.perf_counter()
        changed = text.replace("* 6", f"* {7 + number % 2}")
        watched.path.write_text(changed, encoding="utf-8")
        before = watched.until(lambda shown, old=before: shown["svg"] != old)["svg"]
        spent.append(1000 * (time.perf_counter() - start))
    said("watch: save to picture of resnet50", spent)
    watched.end()


def at_random(folder: Path, minutes: float) -> None:
    editor = Editor(folder)
    count, seed, end = 0, 0, time.monotonic() + 60 * minutes
    while (left := end - time.monotonic()) > 0:
        count += typed_at_random(editor, min(left, 30), seed)
        seed += 1
    print(f"{count} edits by chance in {minutes:g} minutes, and the server lives")
    editor.close()


def said(what: str, spent: list[float]) -> None:
    middle = statistics.median(spent)
    print(f"{what}: median {middle:.1f} ms, {min(spent):.1f} to {max(spent):.1f}", flush=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary).resolve()
        laid_out()
        keystrokes(root)
        pictures(root)
        if len(sys.argv) > 1:
            at_random(root, float(sys.argv[1]))
